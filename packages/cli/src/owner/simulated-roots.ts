/** Roots of simulated processors that this owner has pinned by fingerprint. Evidence under one is `simulated`, never more. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { replaceFileSync } from '@cloister/protocol/replace-file'

const FingerprintsSchema = z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(100)

export function readSimulatedRoots({ owner }: Pick<Directories, 'owner'>): readonly string[] {
  const file = join(owner, 'simulated-roots.json')
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
  try {
    return FingerprintsSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
}

/** Pins the root of this host's simulated processor, making that processor when there is none. @returns its fingerprint */
export async function pinLocalSimulatedRoot(directories: Directories): Promise<string> {
  const { openKeyStore } = await import('@cloister/launcher/simulator/key-store')
  const { simulatorDirectory } = await import('@cloister/launcher/open-vm-host')
  const { chain } = await openKeyStore(simulatorDirectory(directories))
  const fingerprint = createHash('sha256').update(chain.ark).digest('hex')
  const known = readSimulatedRoots(directories)
  if (!known.includes(fingerprint)) write(directories, [...known, fingerprint])
  return fingerprint
}

function write({ owner }: Directories, fingerprints: readonly string[]): void {
  mkdirSync(owner, { recursive: true, mode: 0o700 })
  const file = join(owner, 'simulated-roots.json')
  replaceFileSync(file, `${JSON.stringify(fingerprints, null, 2)}\n`)
}
