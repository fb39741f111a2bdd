/** The console of a debug guest, as a person reads it: a CLI of its own asks a real hostd, whose machine is a fake. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { FakeMachine } from '../../packages/hostd/test/fake-machine.ts'
import { startFixture, startRequest } from '../../packages/hostd/test/fixture.ts'

const MAIN = join(import.meta.dirname, '../../packages/cli/src/main.ts')

test('logs --console shows the console of a debug guest, and says where there is none', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const env = {
    ...process.env,
    CLOISTER_HOME: hostd.home,
    CLOISTER_RUNTIME_DIR: join(hostd.home, 'r'),
  }
  const shown = async (debug: boolean) => {
    await hostd.client.start(startRequest({ debug }))
    await hostd.until('web', ({ state }) => state === 'running')
    const words = [MAIN, 'logs', 'web', '--console']
    const found = await promisify(execFile)(process.execPath, words, { env })
    await hostd.client.stop('web', { force: true })
    await hostd.client.remove('web')
    return found
  }
  assert.equal((await shown(true)).stdout, 'the guest’s console\n')
  const { stdout, stderr } = await shown(false)
  assert.equal(stdout, '')
  assert.match(stderr, /without --debug/)
})
