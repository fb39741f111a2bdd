import { readFileSync } from 'node:fs'

const manifest: unknown = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)

/** The one version of all packages. */
export const PRODUCT_VERSION = (manifest as { version: string }).version
