/** Bundles programs of guests and what they import into few files. */
import { isBuiltin } from 'node:module'
import { parse } from 'node:path'
import { fileURLToPath } from 'node:url'

import { CloisterError } from '@cloister/protocol/error'
import { GUEST_PROGRAMS } from '@cloister/protocol/guest-names'

import type { OutputChunk, OutputOptions } from 'rolldown'

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
 * @param file - name of the program's own file; what it imports dynamically comes beside it
 * @throws CloisterError `guest-image.agent-bundle-failed`
 */
export async function bundleAgent(
  entry: string,
  file: string = GUEST_PROGRAMS.agent,
): Promise<ReadonlyMap<string, string>> {
  const chunks = await bundle(entry, {
    format: 'esm',
    entryFileNames: file,
    chunkFileNames: `${parse(file).name}.[name].mjs`,
  })
  return new Map(chunks.map(({ fileName, code }) => [fileName, takeBuiltinsDirectly(code)]))
}

/**
 * The bundle as one script, for a snapshot: only built-in modules are required.
 *
 * @throws CloisterError `guest-image.agent-bundle-failed`
 */
export async function bundleScript(entry: string): Promise<string> {
  const [chunk] = await bundle(entry, { format: 'cjs', codeSplitting: false })
  const { code, dynamicImports } = chunk!
  if (dynamicImports.length > 0)
    throw new CloisterError('guest-image.agent-bundle-failed', {
      where: entry,
      why: `"${dynamicImports[0]}" is imported dynamically, which a snapshot cannot`,
    })
  return code
}

async function bundle(entry: string, output: OutputOptions): Promise<readonly OutputChunk[]> {
  // Imported here: it is large, and only builds need it.
  const { rolldown } = await import('rolldown')
  try {
    await using build = await rolldown({
      input: entry,
      cwd: REPOSITORY,
      platform: 'node',
      logLevel: 'silent',
      // A script has no address; those that the modules make of it are only for the source tree.
      ...(output.format === 'cjs' && {
        transform: { define: { 'import.meta.url': '"file:///"' } },
      }),
    })
    const { output: made } = await build.generate({ ...output, minify: true })
    const chunks = made.filter((part) => part.type === 'chunk')
    const names = new Set(chunks.map(({ fileName }) => fileName))
    // An import that is left open would fail in the guest, where there is no node_modules.
    const open = chunks
      .flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports])
      .find((name) => !isBuiltin(name) && !names.has(name))
    if (open !== undefined) throw new Error(`the import "${open}" cannot be resolved`)
    return chunks
  } catch (cause) {
    throw new CloisterError('guest-image.agent-bundle-failed', {
      where: entry,
      why: cause instanceof Error ? cause.message.slice(0, 400) : String(cause),
      cause,
    })
  }
}
