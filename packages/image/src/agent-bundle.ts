/** Bundles the guest agent and what it imports into few files: what it loads at its start is parsed at its start, and nothing else. */
import { isBuiltin } from 'node:module'
import { parse } from 'node:path'
import { fileURLToPath } from 'node:url'

import { CloisterError } from '@cloister/protocol/error'
import { GUEST_PROGRAMS } from '@cloister/protocol/guest-names'

import { takeBuiltinsDirectly } from './builtin-imports.ts'

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url))
export const AGENT_ENTRY = fileURLToPath(new URL('../../agent/src/main.ts', import.meta.url))
/** The thread in which the agent unpacks layers: a program of its own, for a thread starts from a file. */
export const UNPACK_WORKER_ENTRY = fileURLToPath(
  new URL('../../oci/src/unpack-worker.ts', import.meta.url),
)

/**
 * The bundle as ES modules by file name. The same sources give the same bytes wherever the repository lies.
 *
 * @param entry - path of the program; absent: the agent
 * @param file - name of the program's own file; what it imports dynamically comes beside it
 * @throws CloisterError `guest-image.agent-bundle-failed`
 */
export async function bundleAgent(
  entry: string = AGENT_ENTRY,
  file: string = GUEST_PROGRAMS.agent,
): Promise<ReadonlyMap<string, string>> {
  // Imported here: it is large, and only builds need it.
  const { rolldown } = await import('rolldown')
  try {
    await using bundle = await rolldown({
      input: entry,
      cwd: REPOSITORY,
      platform: 'node',
      logLevel: 'silent',
    })
    const { output } = await bundle.generate({
      format: 'esm',
      minify: true,
      entryFileNames: file,
      chunkFileNames: `${parse(file).name}.[name].mjs`,
    })
    const chunks = output.filter((made) => made.type === 'chunk')
    const names = new Set(chunks.map(({ fileName }) => fileName))
    // An import that is left open would fail in the guest, where there is no node_modules.
    const open = chunks
      .flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports])
      .find((name) => !isBuiltin(name) && !names.has(name))
    if (open !== undefined) throw new Error(`the import "${open}" cannot be resolved`)
    return new Map(chunks.map(({ fileName, code }) => [fileName, takeBuiltinsDirectly(code)]))
  } catch (cause) {
    throw new CloisterError('guest-image.agent-bundle-failed', {
      where: entry,
      why: cause instanceof Error ? cause.message.slice(0, 400) : String(cause),
      cause,
    })
  }
}
