/**
 * What the owner has seen of the broker's audit: the key of its log, the last signed checkpoint, and the hashes of all entries once they were read whole.
 * It lies on the owner's side, so that a broker which rewrites or shortens its history is found by what it signed itself.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { replaceFileSync } from '@cloister/protocol/replace-file'
import { readOwnerJson } from '../owner/read-owner-json.ts'

const SeenLogSchema = z.strictObject({
  /** In the form of signed notes. */
  key: z.string(),
  /** A signed note. */
  checkpoint: z.string(),
  /** Milliseconds since 1970. */
  seenAt: z.int(),
})
export type SeenLog = z.infer<typeof SeenLogSchema>

type Owner = Pick<Directories, 'owner'>
export const seenLogFile = ({ owner }: Owner) => join(owner, 'audit-log.json')
const hashesFile = ({ owner }: Owner) => join(owner, 'audit-log.hashes')

/** @returns undefined when none was seen. @throws CloisterError `owner.pin-unreadable` */
export function readSeenLog(directories: Owner): SeenLog | undefined {
  return readOwnerJson(seenLogFile(directories), SeenLogSchema)
}

export function noteSeenLog(directories: Owner, seen: SeenLog): void {
  mkdirSync(directories.owner, { recursive: true, mode: 0o700 })
  replaceFileSync(seenLogFile(directories), `${JSON.stringify(seen, null, 2)}\n`)
}

/** Hashes of leaves, end to end; empty when the log was never read whole. They only help to name what was changed. */
export function readSeenHashes(directories: Owner): Uint8Array {
  try {
    return readFileSync(hashesFile(directories))
  } catch {
    return new Uint8Array()
  }
}

export function noteSeenHashes(directories: Owner, hashes: Uint8Array): void {
  replaceFileSync(hashesFile(directories), hashes)
}
