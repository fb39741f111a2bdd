/**
 * Makes the agent a snapshot of V8's heap: all its modules are loaded when the image is built, not when a guest starts. The same sources and
 * the same Node give the same bytes on every machine.
 */
import { copyFile, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { bundleScript } from './agent-bundle.ts'
import type { BuildContext } from './run.ts'
import { run } from './run.ts'
import { trimCodeCache } from './snapshot-code-cache.ts'

const LOADER = new URL('../guest/load-agent.cjs', import.meta.url)

/** Of V8's flags, all that say what a processor may have. */
const PROCESSOR_FEATURES =
  'sse3 ssse3 sse4-1 sse4-2 sahf avx avx2 avx-vnni avx-vnni-int8 fma3 f16c bmi1 bmi2 lzcnt popcnt'

/**
 * V8 binds what it has compiled to its flags and, where it may, to the processor's features: so both sides use the same flags and none of the
 * features that not every processor has. They serve code that V8 compiles, not the native cryptography.
 */
export const SNAPSHOT_FLAGS = [
  // The agent makes no code at run time: V8 asks for no memory that can be written and executed, and what runs once is no slower interpreted.
  '--jitless',
  // What is loaded is compiled whole, when the image is built: function by function, as each was first called, took half a second of an emulated guest.
  '--no-lazy',
  // Nothing of the agent evaluates text.
  '--disallow-code-generation-from-strings',
  '--mcpu=generic',
  '--no-intel-jcc-erratum-mitigation',
  ...PROCESSOR_FEATURES.split(' ').map((feature) => `--no-enable-${feature}`),
] as const

/** With these the agent runs: what else may differ from the making of the snapshot, and would change its bytes. */
export const AGENT_FLAGS = [
  ...SNAPSHOT_FLAGS,
  // Most of what the agent makes is short-lived: more room for it would only be more memory.
  '--max-semi-space-size=1',
  // The heap is small. Threads that look through it beside the agent take an only processor away from it while it pulls its image.
  '--single-threaded-gc',
] as const

/**
 * Node's modules that the agent loads when it runs (`load-agent.cjs`), with those that they load. Not those of a thread, a hundred more: the image would
 * be read for longer in each guest than they save where a large one is unpacked on several processors.
 */
export const LATE_MODULES = [
  'child_process',
  'cluster',
  'dgram',
  'dns',
  'http',
  'https',
  'net',
  'stream/consumers',
  'tls',
  '_http_agent',
  '_http_client',
  '_http_common',
  '_http_incoming',
  '_http_outgoing',
  '_http_server',
  'internal/child_process',
  'internal/cluster/primary',
  'internal/cluster/round_robin_handle',
  'internal/cluster/shared_handle',
  'internal/cluster/utils',
  'internal/cluster/worker',
  'internal/dgram',
  'internal/dns/callback_resolver',
  'internal/freelist',
  'internal/fs/rimraf',
  'internal/fs/streams',
  'internal/fs/sync_write_stream',
  'internal/http',
  'internal/js_stream_socket',
  'internal/socket_list',
  'internal/tls/common',
  'internal/tls/secure-context',
  'internal/tls/wrap',
] as const

export interface SnapshotOptions extends BuildContext {
  /** Path of the Node binary that the guest runs. */
  readonly node: string
  /** A directory for what is needed meanwhile. */
  readonly work: string
}

/**
 * @param entry - path of the program, which sets the snapshot's main function; it runs before, and must not wait for anything
 * @throws CloisterError `guest-image.agent-bundle-failed`, `guest-image.tool-failed`
 */
export async function snapshotAgent(
  entry: string,
  { node, work, ...context }: SnapshotOptions,
): Promise<Uint8Array> {
  const directory = await mkdtemp(join(work, 'snapshot-'))
  try {
    const bundle = await bundleScript(entry)
    await writeFile(join(directory, 'agent.cjs'), inAscii(`((require) => {${bundle}\n})\n`))
    await copyFile(LOADER, join(directory, 'load-agent.cjs'))
    // Names that are the same everywhere, for the snapshot holds them. Its hash seed is exchanged when it is loaded.
    await symlink(node, join(directory, 'node'))
    const here = (file: string) => `/proc/self/cwd/${file}`
    const files = [
      '--snapshot-blob',
      here('agent.snapshot'),
      '--build-snapshot',
      here('load-agent.cjs'),
    ]
    await run('./node', ['--no-warnings', '--random-seed=1', ...SNAPSHOT_FLAGS, ...files], {
      ...context,
      cwd: directory,
      env: {},
    })
    return trimCodeCache(await readFile(join(directory, 'agent.snapshot')), LATE_MODULES)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** V8 keeps a source with any other character in twice the memory. Outside of strings the bundle has none. */
function inAscii(code: string): string {
  return code.replaceAll(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
