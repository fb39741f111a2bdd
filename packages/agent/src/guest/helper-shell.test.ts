import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { text } from 'node:stream/consumers'
import { HelperShell } from './helper-shell.ts'

async function place(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-helper-'))
  t.after(() => rm(directory, { recursive: true }))
  // A guest has busybox; where it is not, bash knows as much for this.
  if (spawnSync('busybox').error !== undefined) {
    const shim = '#!/bin/sh\n[ "$1" = sh ] || exec "$@"\nshift\nexec bash "$@"\n'
    await writeFile(join(directory, 'busybox'), shim, { mode: 0o755 })
    const { PATH } = process.env
    process.env['PATH'] = `${directory}:${PATH}`
    t.after(() => (process.env['PATH'] = PATH))
  }
  return directory
}

test('programs get their settings and what comes through their descriptors, and tell how they ended', async (t) => {
  await place(t)
  const shell = new HelperShell()
  const pipes = [Buffer.from('first'), Buffer.from('second')]
  const settings = { word: `it's $HOME "quoted"` }
  const script = 'printf "%s|" "$word"; cat <&3; printf "|"; cat <&4 >&2; exit 7'
  const results = [
    shell.run(['sh', '-c', script], { settings, pipes }),
    shell.run(['sh', '-c', script], { settings: { word: '' }, pipes: [pipes[1]!, pipes[0]!] }),
    shell.run(['true'], {}),
    shell.run(['/nonexistent/program'], {}),
  ] as const
  shell.start()
  const [first, second, third, absent] = await Promise.all(results)
  assert.deepEqual(first, { status: 7, said: `it's $HOME "quoted"|first|second` })
  assert.deepEqual(second, { status: 7, said: '|second|first' })
  assert.deepEqual(third, { status: 0, said: '' })
  assert.equal(absent.status, 127)
})

test('what a program writes comes as it comes, and ends with the program alone', async (t) => {
  await place(t)
  const shell = new HelperShell()
  const short = shell.output(['sh', '-c', 'echo one; echo two'])
  const long = shell.output(['sh', '-c', 'echo long; sleep 0.5'])
  shell.start()
  assert.equal(await text(await short), 'one\ntwo\n')
  assert.equal(String((await once(await long, 'data'))[0]), 'long\n')
})

test('a port is carried both ways, and its stream fails when the relays are gone', async (t) => {
  const directory = await place(t)
  const device = join(directory, 'port')
  execFileSync('mkfifo', [device])
  const shell = new HelperShell()
  const port = shell.port(device)
  shell.start()
  const stream = await port
  // Both ends of a fifo are ours: what we write comes back.
  stream.write('there and back')
  assert.equal(String((await once(stream, 'data'))[0]), 'there and back')
  const failed = assert.rejects(once(stream, 'close'), /relay/)
  for (const pid of await holdersOf(device)) process.kill(pid, 'SIGKILL')
  await failed
})

/** Processes that have the file open. */
async function holdersOf(file: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const held = await Promise.all(
    pids.map(async (pid) => {
      const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
      const links = descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))
      return (await Promise.all(links)).includes(file)
    }),
  )
  return pids.filter((_, index) => held[index]).map(Number)
}
