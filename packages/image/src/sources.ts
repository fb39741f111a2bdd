/** What of this repository goes into an image: tells whether an image was made by these very sources. */
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'

const PACKAGES = fileURLToPath(new URL('../../', import.meta.url))
/** The agent, what it imports, and the recipe itself. */
const SOURCES = ['agent', 'image', 'oci', 'protocol', 'rego', 'verifier'] as const
const INPUT_NAME = 'cloister'

/** The input as it stands in a manifest: SHA-256 over the names and contents of the source files. */
export function sourcesInput(): GuestImageManifest['inputs'][number] {
  const hash = createHash('sha256')
  for (const name of SOURCES)
    for (const path of sourceFiles(`${PACKAGES}${name}/src/`))
      hash
        .update(`${path.slice(PACKAGES.length)}\0`)
        .update(readFileSync(path))
        .update('\0')
  const { version } = JSON.parse(readFileSync(`${PACKAGES}image/package.json`, 'utf8')) as {
    version: string
  }
  return { name: INPUT_NAME, version, sha256: hash.digest('hex'), origin: 'this repository' }
}

/** Whether the image was made by the sources as they are now; one that was not still runs, as what it is. */
export function isMadeBySources(manifest: GuestImageManifest): boolean {
  const recorded = manifest.inputs.find(({ name }) => name === INPUT_NAME)
  return recorded !== undefined && recorded.sha256 === sourcesInput().sha256
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'))
    .map((entry) => `${entry.parentPath.replace(/\/$/, '')}/${entry.name}`)
    .sort()
}
