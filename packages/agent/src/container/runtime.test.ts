import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { crunRuntime } from './runtime.ts'
import type { OciSpec } from './oci-spec.ts'

const never = new AbortController().signal
const ALL = { stdout: true, stderr: true, stdin: true }
const SPEC = { process: {} } as OciSpec

/** A runtime whose crun is a script; it sees its arguments as crun does. */
async function withCrun(t: TestContext, script: string) {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-crun-'))
  const program = join(directory, 'crun')
  const find = 'for a; do case $a in --log=*) log=${a#*=};; --pid-file=*) pid=${a#*=};; esac; done'
  await writeFile(program, `#!/bin/sh\n${find}\n${script}\n`)
  await chmod(program, 0o755)
  const path = process.env['PATH'] ?? ''
  process.env['PATH'] = `${directory}${delimiter}${path}`
  t.after(async () => {
    process.env['PATH'] = path
    await rm(directory, { recursive: true })
  })
  const calls: string[][] = []
  const runtime = crunRuntime({
    directory,
    run: async (command) => {
      calls.push([...command])
      return { status: 0, said: '' }
    },
  })
  return { runtime, calls, directory }
}

test('start() gives output and exit code, of a process that ends at once, too', async (t) => {
  const { runtime } = await withCrun(t, 'echo 1 >"$pid"; echo out; echo err >&2; exit 5')
  const { stdout, stderr, exited } = await runtime.start('c', SPEC, ALL)
  assert.equal(await exited, 5)
  assert.equal(Buffer.from(await stdout!.read(100, never)).toString(), 'out\n')
  assert.equal(Buffer.from(await stderr!.read(100, never)).toString(), 'err\n')
})

test('outputs that nobody may read are not kept', async (t) => {
  const { runtime } = await withCrun(t, 'echo 1 >"$pid"; echo out')
  const none = { stdout: false, stderr: false, stdin: false }
  const running = await runtime.start('c', SPEC, none)
  assert.deepEqual(
    [running.stdout, running.stderr, running.stdin],
    [undefined, undefined, undefined],
  )
  assert.equal(await running.exited, 0)
})

test('start() tells when crun refuses the container', async (t) => {
  const { runtime } = await withCrun(t, 'echo "executable file not found" >"$log"; exit 1')
  await assert.rejects(runtime.start('c', SPEC, ALL), isCode('agent.runtime-failed'))
})

test('a warning of crun does not hide the code of the process', async (t) => {
  const { runtime } = await withCrun(t, 'echo warning >"$log"; echo 1 >"$pid"; exit 3')
  assert.equal(await (await runtime.start('c', SPEC, ALL)).exited, 3)
})

test('a process that is killed ends with a code', async (t) => {
  const { runtime } = await withCrun(t, 'echo 1 >"$pid"; kill -9 $$')
  const { exited } = await runtime.start('c', SPEC, ALL)
  assert.equal(await exited, 137)
})

test('input reaches the process', async (t) => {
  const { runtime } = await withCrun(t, 'echo 1 >"$pid"; cat')
  const { stdin, stdout, exited } = await runtime.start('c', SPEC, ALL)
  stdin!.end('typed')
  assert.equal(await exited, 0)
  assert.equal(Buffer.from(await stdout!.read(100, never)).toString(), 'typed')
})

test('signal() and remove() go through crun', async (t) => {
  const { runtime, calls } = await withCrun(t, 'true')
  await runtime.signal('c', 15)
  await runtime.remove('c')
  assert.deepEqual(
    calls.map((call) => call.slice(-3)),
    [
      ['kill', 'c', '15'],
      ['delete', '--force', 'c'],
    ],
  )
})

test("an exec id that names a file of the bundle does not replace it: crun takes the container's limits from there", async (t) => {
  const { runtime, directory } = await withCrun(t, 'echo 1 >"$pid"')
  await runtime.start('c', SPEC, ALL)
  const bundle = join(directory, 'bundles', 'c')
  for (const execId of ['config', 'init']) await runtime.exec('c', execId, SPEC.process, ALL)
  assert.deepEqual(JSON.parse(await readFile(join(bundle, 'config.json'), 'utf8')), SPEC)
})
