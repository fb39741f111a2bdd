import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCommand, readLaunchInputs } from './launch-inputs.ts'

const bytes = (...words: string[]) => Buffer.from(words.map((word) => `${word}\0`).join(''))

test('parseCommand() reads what a launch measures', () => {
  assert.deepEqual(
    parseCommand(bytes('q', '-kernel', '/k', '-initrd', '/i', '-append', 'a "b"', '-smp', '4')),
    { kernel: '/k', initrd: '/i', commandLine: 'a "b"', cpus: 4 },
  )
  assert.deepEqual(parseCommand(bytes('q', '-kernel', '/k', '-smp', '1')), {
    kernel: '/k',
    initrd: undefined,
    commandLine: '',
    cpus: 1,
  })
})

const WRONG: Readonly<Record<string, readonly string[]>> = {
  'no kernel': ['-smp', '1'],
  'no vCPU count': ['-kernel', '/k'],
  'a vCPU topology': ['-kernel', '/k', '-smp', '2,sockets=2'],
  'two kernels': ['-kernel', '/k', '-kernel', '/l', '-smp', '1'],
  'two command lines': ['-kernel', '/k', '-append', 'a', '-append', 'b', '-smp', '1'],
  'a command line that reads like an option': ['-kernel', '/k', '-append', '-kernel', '-smp', '1'],
  'a huge command line': ['-kernel', '/k', '-smp', '1', 'x'.repeat(300_000)],
}
for (const [name, words] of Object.entries(WRONG))
  test(`parseCommand() refuses ${name}`, () => {
    assert.throws(() => parseCommand(bytes('q', ...words)), {
      code: 'simulator.launch-unmeasurable',
    })
  })

test('readLaunchInputs() hashes what the process has open, not what stands at a path now', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'inputs-'))
  const path = join(directory, 'kernel')
  await writeFile(path, 'old')
  const child: ChildProcess = spawn(
    'sh',
    [
      '-c',
      'exec 3<"$0"; echo up; while :; do read -r _ || exit; done',
      path,
      '-kernel',
      '/proc/self/fd/3',
      '-append',
      'x y',
      '-smp',
      '2',
    ],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  )
  await once(child.stdout ?? child, 'data')
  await rm(path)
  await writeFile(path, 'new')
  const inputs = await readLaunchInputs(child.pid ?? 0)
  const sha256 = (text: string) => createHash('sha256').update(text).digest()
  assert.deepEqual(Buffer.from(inputs.kernelSha256), sha256('old'))
  assert.deepEqual(Buffer.from(inputs.initrdSha256), sha256(''))
  assert.equal(inputs.commandLine, 'x y')
  assert.equal(inputs.cpus, 2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await assert.rejects(readLaunchInputs(child.pid ?? 0), { code: 'simulator.launch-unmeasurable' })
  await rm(directory, { recursive: true })
})
