/** Bundles the guest agent and what it imports into one file: one open, one parse, no resolution in the guest. */
import { isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'

import { CloisterError } from '@cloister/protocol/error'

import { takeBuiltinsDirectly } from './builtin-imports.ts'

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url))
export const AGENT_ENTRY = fileURLToPath(new URL('../../agent/src/main.ts', import.meta.url))
/** The thread in which the agent unpacks layers: a program of its own, for a thread starts from a file. */
export const UNPACK_WORKER_ENTRY = fileURLToPath(
  new URL('../../oci/src/unpack-worker.ts', import.meta.url),
)

/**
 * The bundle as an ES module. The same sources give the same bytes wherever the repository lies.
 *
 * @param entry - path of the program; absent: the agent
 * @throws CloisterError `guest-image.agent-bundle-failed`
 */
export async function bundleAgent(entry: string = AGENT_ENTRY): Promise<string> {
  // Imported here: it is large, and only builds need it.
  const { rolldown } = await import('rolldown')
  try {
    await using bundle = await rolldown({
      input: entry,
      cwd: REPOSITORY,
      platform: 'node',
      logLevel: 'silent',
    })
    const { output } = await bundle.generate({ format: 'esm', codeSplitting: false, minify: true })
    const [{ code, imports, dynamicImports }] = output
    // An import that is left open would fail in the guest, where there is no node_modules.
    const open = [...imports, ...dynamicImports].find((name) => !isBuiltin(name))
    if (open !== undefined) throw new Error(`the import "${open}" cannot be resolved`)
    return takeBuiltinsDirectly(code)
  } catch (cause) {
    throw new CloisterError('guest-image.agent-bundle-failed', {
      where: entry,
      why: cause instanceof Error ? cause.message.slice(0, 400) : String(cause),
      cause,
    })
  }
}
