import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { clearLeftovers } from './leftovers.ts'
import { identifyProcess, isAlive } from './process-identity.ts'

test('clearLeftovers() removes what no state names, and nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'left-'))
  const folders = { runtime: join(folder, 'run'), state: join(folder, 'state') }
  const make = (...parts: string[]) => mkdir(join(folder, ...parts), { recursive: true })
  await Promise.all([make('run', 'dead'), make('state', 'dead'), make('state', 'half')])
  await Promise.all([make('run', 'kept'), make('state', 'kept'), make('run', 'Not_A_Vm')])
  await writeFile(join(folders.runtime, 'hostd.sock'), '')
  // Somebody's shell stands in the directory of a dead VM.
  const shell = spawn('sleep', ['60'], { cwd: join(folders.runtime, 'dead') })
  await once(shell, 'spawn')
  const identity = await identifyProcess(shell.pid ?? 0)

  const cleared = await clearLeftovers(folders, new Set(['kept']))

  assert.deepEqual(cleared.toSorted(), ['dead', 'half'])
  assert.deepEqual((await readdir(folders.runtime)).toSorted(), ['Not_A_Vm', 'hostd.sock', 'kept'])
  assert.deepEqual(await readdir(folders.state), ['kept'])
  assert.ok(identity && (await isAlive(identity)))
  shell.kill('SIGKILL')
  assert.deepEqual(await clearLeftovers({ runtime: '/none', state: '/none' }, new Set()), [])
  await rm(folder, { recursive: true })
})
