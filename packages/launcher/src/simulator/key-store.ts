/**
 * The simulated secure processor's identity: made once on this host, kept in one file, mode 0600. Whoever has that file can forge
 * reports: that is what simulation means, and why its root is pinned apart from AMD's. The keys of ARK and ASK are not kept.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { fromHex } from '@cloister/verifier/bytes/hex'
import { parsePem } from '@cloister/verifier/formats/pem'
import { z } from 'zod'
import { createOnce } from '../write-once.ts'
import type { EndorsementChain } from './endorsement-chain.ts'

const StoreSchema = z.strictObject({
  version: z.literal(1),
  /** 64 bytes, hex. */
  chipId: z.string().regex(/^[0-9a-f]{128}$/),
  /** PKCS #8, PEM. */
  vcekKey: z.string(),
  ark: z.string(),
  ask: z.string(),
  vcek: z.string(),
  crl: z.string(),
})

export interface SimulatedIdentity {
  readonly chipId: Uint8Array
  readonly vcekKey: KeyObject
  readonly chain: EndorsementChain
}

const FILE = 'processor.json'

/**
 * Opens the identity, or makes it: two RSA-4096 keys take some seconds once.
 * @param directory - made when absent
 * @throws CloisterError `simulator.keys-unreadable`, `vm.folder-denied`, `host.disk-full`
 */
export async function openKeyStore(directory: string): Promise<SimulatedIdentity> {
  const path = join(directory, FILE)
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return parseStore(text ?? (await createOnce(path, await newStore())), path)
}

/** Loaded when needed, which is once on a host. */
async function newStore(): Promise<string> {
  const { makeStore } = await import('./make-store.ts')
  return JSON.stringify((await makeStore()) satisfies z.infer<typeof StoreSchema>)
}

function parseStore(text: string, where: string): SimulatedIdentity {
  try {
    const store = StoreSchema.parse(JSON.parse(text))
    const { ark, ask, vcek, crl } = store
    return {
      chipId: fromHex(store.chipId),
      vcekKey: createPrivateKey(store.vcekKey),
      chain: { ark: der(ark), ask: der(ask), vcek: der(vcek), crl: der(crl) },
    }
  } catch (error) {
    throw new CloisterError('simulator.keys-unreadable', { where, cause: error })
  }
}

function der(pem: string): Uint8Array {
  const [block] = parsePem(pem)
  if (block === undefined) throw new TypeError('no PEM block')
  return block.der
}
