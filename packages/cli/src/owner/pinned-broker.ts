/** What the owner knows of the broker: address, TLS keys, token signer. Written when the owner starts the broker. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { replaceFileSync } from '@cloister/protocol/replace-file'

const PinnedBrokerSchema = z.strictObject({
  url: z.url({ protocol: /^https$/ }),
  /** SHA-256 of the DER SubjectPublicKeyInfo of its TLS keys, hex. */
  spki: z
    .array(z.string().regex(/^[0-9a-f]{64}$/))
    .min(1)
    .max(2),
  /** Certificate of its token signer, PEM. */
  tokenSigner: z.string(),
})
export type PinnedBroker = z.infer<typeof PinnedBrokerSchema>

function fileOf({ owner }: Pick<Directories, 'owner'>): string {
  return join(owner, 'broker.json')
}

/** @returns undefined when the owner has pinned none. @throws CloisterError `owner.pin-unreadable` */
export function readPinnedBroker(
  directories: Pick<Directories, 'owner'>,
): PinnedBroker | undefined {
  const file = fileOf(directories)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
  try {
    return PinnedBrokerSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
}

export function pinBroker(directories: Pick<Directories, 'owner'>, broker: PinnedBroker): void {
  mkdirSync(directories.owner, { recursive: true, mode: 0o700 })
  replaceFileSync(fileOf(directories), `${JSON.stringify(broker, null, 2)}\n`)
}
