/** The thread that unpacks layers, as a guest has it: its bundle, in a process that began in a snapshot. */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { GUEST_PROGRAMS } from '@cloister/protocol/guest-names'
import { encodeTarHeader, TAR_END, tarPadding, type TarInput } from '@cloister/oci/tar-writer'

import { bundleAgent, UNPACK_WORKER_ENTRY } from './agent-bundle.ts'
import { AGENT_FLAGS, snapshotAgent } from './agent-snapshot.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const UNPACK_THREAD = fileURLToPath(new URL('../../oci/src/unpack-thread.ts', import.meta.url))
const SETFATTR = '/usr/bin/setfattr'

test('nothing that the thread imports loads node:net or node:crypto', async (context) => {
  const modules = await builtinsOf(await workerFile(context))
  assert.ok(modules.includes('node:fs'), modules.join(' '))
  assert.deepEqual(await abortingModules(context, modules), [], modules.join(' '))
  // The walk itself: what the thread must not import is seen.
  assert.deepEqual(await abortingModules(context, [...modules, 'node:child_process']), ['net'])
  assert.deepEqual(await abortingModules(context, ['node:https']), ['crypto', 'net'])
})

test('the thread unpacks a layer in a process that began in a snapshot, and its attributes are set', async (context) => {
  const worker = await workerFile(context)
  const layer = Buffer.concat([
    ...entry({ name: 'bin/', type: '5', mode: 0o750 }),
    ...entry({ name: 'pax', type: 'x' as TarInput['type'] }, '31 SCHILY.xattr.user.note=kept\n'),
    ...entry({ name: 'bin/tool', mode: 0o755 }, 'a program'),
    TAR_END,
  ])
  const work = await temporaryDirectory(context, { 'entry.ts': ENTRY })
  const rootfs = join(work, 'rootfs')
  await mkdir(rootfs)
  await writeFile(join(work, 'layer.tar'), layer)
  const isAble = spawnSync('setfattr', ['-n', 'user.a', '-v', '1', rootfs]).status === 0
  const task = {
    worker,
    layer: join(work, 'layer.tar'),
    rootfs,
    ...(isAble && { xattrProgram: SETFATTR }),
  }
  const { stdout } = await runSnapshot(work, JSON.stringify(task))
  assert.deepEqual(JSON.parse(stdout), { bytes: 0, entries: 2, skippedXattrs: isAble ? 0 : 1 })
  assert.equal(await readFile(join(rootfs, 'bin/tool'), 'utf8'), 'a program')
  if (!isAble)
    return context.diagnostic('no attributes: needs setfattr and a file system with them')
  const words = ['--only-values', '-n', 'user.note', join(rootfs, 'bin/tool')]
  assert.equal(
    execFileSync('getfattr', ['--absolute-names', ...words], { encoding: 'utf8' }),
    'kept',
  )
})

const ENTRY = `
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { startupSnapshot } from 'node:v8'
import { UnpackThread } from ${JSON.stringify(UNPACK_THREAD)}
import { UNPACK_LIMITS as limits } from ${JSON.stringify(UNPACK_THREAD.replace('thread', 'limits'))}
startupSnapshot.setDeserializeMainFunction(() => void main())
async function main() {
  const { worker, layer, rootfs, xattrProgram } = JSON.parse(process.argv[2])
  const usage = { bytes: 0, entries: 0, skippedXattrs: 0 }
  await using thread = new UnpackThread(pathToFileURL(worker))
  const target = { rootfs, xattrProgram, limits, usage }
  thread.begin({ ...target, hasLowerLayers: false, preserveOwnership: false })
  await thread.write(readFileSync(layer))
  await thread.end()
  await thread.setXattrs()
  console.log(JSON.stringify(usage))
}
`

function entry(given: Partial<TarInput> & { name: string }, content = ''): Buffer[] {
  const size = Buffer.byteLength(content)
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtime: 1_000_000 }
  const header = encodeTarHeader({ type: '0', mode: 0o644, size, ...own, ...given })
  return [header, Buffer.from(content), tarPadding(size)].map((part) => Buffer.from(part))
}

async function workerFile(context: TestContext): Promise<string> {
  const { unpackWorker } = GUEST_PROGRAMS
  const bundle = await bundleAgent(UNPACK_WORKER_ENTRY, unpackWorker)
  const directory = await temporaryDirectory(context)
  for (const [file, code] of bundle) await writeFile(join(directory, file), code)
  return join(directory, unpackWorker)
}

/** Node's modules that a bundle of one file names. */
async function builtinsOf(file: string): Promise<string[]> {
  const code = await readFile(file, 'utf8')
  const named = code.matchAll(/["'`](node:[\w/]+)["'`]/g)
  return [...new Set(Array.from(named, ([, name]) => name!))].filter(isBuiltin)
}

/** Which of the modules that abort a thread Node loads for these: a fresh process, whose program is a file, tells what was loaded. */
async function abortingModules(
  context: TestContext,
  modules: readonly string[],
): Promise<string[]> {
  const code = `for (const name of ${JSON.stringify(modules)}) process.getBuiltinModule(name)
    const loaded = ['crypto', 'net'].filter((name) => process.moduleLoadList.includes('NativeModule ' + name))
    process._rawDebug(JSON.stringify(loaded))`
  const directory = await temporaryDirectory(context, { 'load.cjs': code })
  const file = join(directory, 'load.cjs')
  return JSON.parse(spawnSync(process.execPath, [file], { encoding: 'utf8' }).stderr)
}

async function runSnapshot(work: string, task: string) {
  const blob = join(work, 'blob')
  await writeFile(
    blob,
    await snapshotAgent(join(work, 'entry.ts'), { node: process.execPath, work }),
  )
  const words = [...AGENT_FLAGS, '--snapshot-blob', blob, 'main', task]
  return promisify(execFile)(process.execPath, words, { timeout: 60_000 })
}
