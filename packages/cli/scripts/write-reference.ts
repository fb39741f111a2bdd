/** Writes docs/reference/errors.md and docs/reference/cli.md. */
import { writeFileSync } from 'node:fs'
import { commandsPage, errorsPage } from '../src/reference-pages.ts'

const folder = new URL('../../../docs/reference/', import.meta.url)
writeFileSync(new URL('errors.md', folder), errorsPage())
writeFileSync(new URL('cli.md', folder), await commandsPage())
