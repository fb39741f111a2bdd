/** What the owner knows of the broker: address, TLS keys, token signer. Written when the owner starts the broker. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { replaceFileSync } from '@cloister/protocol/replace-file'
import { readOwnerJson } from './read-owner-json.ts'

const PinnedBrokerSchema = z.strictObject({
  url: z.url({ protocol: /^https$/ }),
  /** SHA-256 of the DER SubjectPublicKeyInfo of its TLS keys, hex. */
  spki: z
    .array(z.string().regex(/^[0-9a-f]{64}$/))
    .min(1)
    .max(2),
  /** Certificate of its token signer, PEM. */
  tokenSigner: z.string(),
  /** The owner named address and port with `--listen`: this home's broker does not look for another by itself. */
  isAddressAsked: z.boolean().optional(),
})
export type PinnedBroker = z.infer<typeof PinnedBrokerSchema>

/** `host:port` where it listens, as hostd takes a target. */
export function brokerAddress({ url }: Pick<PinnedBroker, 'url'>): string {
  const { hostname, port } = new URL(url)
  return `${hostname}:${port === '' ? '443' : port}`
}

function fileOf({ owner }: Pick<Directories, 'owner'>): string {
  return join(owner, 'broker.json')
}

/** @returns undefined when the owner has pinned none. @throws CloisterError `owner.pin-unreadable` */
export function readPinnedBroker(
  directories: Pick<Directories, 'owner'>,
): PinnedBroker | undefined {
  return readOwnerJson(fileOf(directories), PinnedBrokerSchema)
}

export function pinBroker(directories: Pick<Directories, 'owner'>, broker: PinnedBroker): void {
  mkdirSync(directories.owner, { recursive: true, mode: 0o700 })
  replaceFileSync(fileOf(directories), `${JSON.stringify(broker, null, 2)}\n`)
}
