/** Preloaded before a test: takes a check away as its file is loaded, so that nothing on disk is changed. */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { mutated, MUTATION_VARIABLE, REPOSITORY, type Edit } from './mutation.ts'
import { MUTATIONS } from './mutations.ts'

const name = process.env[MUTATION_VARIABLE]
const mutation = MUTATIONS.find((candidate) => candidate.name === name)
if (mutation === undefined) throw new RangeError(`no mutation ${name}`)
const missing = new Set<Edit>(mutation.edits)

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    const edits = mutation.edits.filter(({ file }) => url === `${REPOSITORY}${file}`)
    if (edits.length === 0) return loaded
    for (const edit of edits) missing.delete(edit)
    return { ...loaded, source: edits.reduce(mutated, readFileSync(fileURLToPath(url), 'utf8')) }
  },
})

process.once('exit', () => {
  for (const { file } of missing) process.stderr.write(`not loaded: ${file}\n`)
})
