import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
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

test('input that nobody takes fails nothing, nor does a shell that cannot be started', async (t) => {
  await place(t)
  const pipes = [Buffer.alloc(1 << 20), Buffer.alloc(1)]
  const shell = new HelperShell()
  const results = [
    shell.run(['/nonexistent/program'], { pipes }),
    shell.run(['true'], { pipes }),
  ] as const
  shell.start()
  const [absent, unwilling] = await Promise.all(results)
  assert.equal(absent.status, 127)
  assert.equal(unwilling.status, 0)

  const { PATH } = process.env
  t.after(() => (process.env['PATH'] = PATH))
  process.env['PATH'] = '/nonexistent'
  const none = new HelperShell()
  const result = none.run(['true'], { pipes })
  none.start()
  assert.notEqual((await result).status, 0)
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

test('what is written to a port reaches it', async (t) => {
  const device = join(await place(t), 'port')
  await writeFile(device, '')
  const shell = new HelperShell()
  const port = shell.port(device)
  shell.start()
  t.after(endDescendants)
  const stream = await port
  stream.on('error', () => undefined)
  stream.write('sent')
  while ((await readFile(device, 'utf8')) !== 'sent') await sleep(10)
})

test('what comes from a port is read, and the stream fails when a relay ends', async (t) => {
  await place(t)
  const shell = new HelperShell()
  // Gives zeros, and takes nothing.
  const port = shell.port('/dev/full')
  shell.start()
  t.after(endDescendants)
  const stream = await port
  assert.equal(((await once(stream, 'data'))[0] as Buffer)[0], 0)
  const failed = assert.rejects(once(stream, 'close'), /relay/)
  stream.write('x')
  await failed
})

/** The loop of a reading relay has no end of its own: a guest's ends with the machine. */
async function endDescendants(): Promise<void> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
    const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(stat) ?? []
    if (parent !== undefined) parents.set(Number(name), Number(parent))
  }
  const isOurs = (pid: number): boolean => {
    const parent = parents.get(pid)
    return parent !== undefined && (parent === process.pid || isOurs(parent))
  }
  for (const pid of parents.keys())
    try {
      if (isOurs(pid)) process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended meanwhile.
    }
}
