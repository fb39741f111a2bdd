/** Roots of simulated processors that this owner has pinned by fingerprint. Evidence under one is `simulated`, never more. */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { replaceFileSync } from '@cloister/protocol/replace-file'
import { readOwnerJson } from './read-owner-json.ts'

const FingerprintsSchema = z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(100)

export function readSimulatedRoots(directories: Pick<Directories, 'owner'>): readonly string[] {
  return readOwnerJson(fileOf(directories), FingerprintsSchema) ?? []
}

function fileOf({ owner }: Pick<Directories, 'owner'>): string {
  return join(owner, 'simulated-roots.json')
}

/** Pins the root of this host's simulated processor, making that processor when there is none. @returns its fingerprint */
export async function pinLocalSimulatedRoot(directories: Directories): Promise<string> {
  const { openKeyStore } = await import('@cloister/launcher/simulator/key-store')
  const { simulatorDirectory } = await import('@cloister/launcher/simulator/directory')
  const { chain } = await openKeyStore(simulatorDirectory(directories))
  const fingerprint = createHash('sha256').update(chain.ark).digest('hex')
  const known = readSimulatedRoots(directories)
  if (!known.includes(fingerprint)) write(directories, [...known, fingerprint])
  return fingerprint
}

function write(directories: Directories, fingerprints: readonly string[]): void {
  mkdirSync(directories.owner, { recursive: true, mode: 0o700 })
  replaceFileSync(fileOf(directories), `${JSON.stringify(fingerprints, null, 2)}\n`)
}
