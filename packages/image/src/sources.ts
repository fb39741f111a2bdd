/** What of this repository goes into an image: tells whether an image was made by these very sources. */
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url))
/** The agent and what it imports, the recipe with the guest's scripts, and the versions of what npm installs. */
const FOLDERS = [
  'packages/agent/src',
  'packages/image/guest',
  'packages/image/src',
  'packages/oci/src',
  'packages/protocol/src',
  'packages/rego/src',
  'packages/verifier/src',
] as const
/** Disk images for machines: nothing of these goes into a guest image. */
const LEFT_OUT = 'packages/image/src/disk/'
const LOCK_FILE = 'package-lock.json'
const INPUT_NAME = 'cloister'

/** The input as it stands in a manifest: SHA-256 over the names and contents of the source files. */
export function sourcesInput(): GuestImageManifest['inputs'][number] {
  const hash = createHash('sha256')
  for (const path of [LOCK_FILE, ...FOLDERS.flatMap(sourceFiles)])
    hash
      .update(`${path}\0`)
      .update(readFileSync(`${REPOSITORY}${path}`))
      .update('\0')
  const { version } = JSON.parse(
    readFileSync(`${REPOSITORY}packages/image/package.json`, 'utf8'),
  ) as { version: string }
  return { name: INPUT_NAME, version, sha256: hash.digest('hex'), origin: 'this repository' }
}

/** Whether the image was made by the sources as they are now; one that was not still runs, as what it is. */
export function isMadeBySources(manifest: GuestImageManifest): boolean {
  const recorded = manifest.inputs.find(({ name }) => name === INPUT_NAME)
  return recorded !== undefined && recorded.sha256 === sourcesInput().sha256
}

/** Relative to the repository, in the order of their names. */
function sourceFiles(folder: string): string[] {
  return readdirSync(`${REPOSITORY}${folder}`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(REPOSITORY.length))
    .filter((path) => !path.startsWith(LEFT_OUT))
    .toSorted()
}
