import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { HostdEvent } from '@cloister/protocol/hostd-events'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { Invocation } from '../command.ts'
import { followStart } from './follow-start.ts'

const VIEW = {
  name: 'db',
  state: 'running',
  boot: 'measured',
  createdAt: '2026-01-01T00:00:00.000Z',
  stages: [],
} as unknown as VmView
const stage = (number: number, name: string) => ({ number, name, guestMs: 1, hostMs: 1000 })

function follow(views: readonly Partial<VmView>[], started: Partial<VmView> = {}, options = {}) {
  const said: string[] = []
  let asked = 0
  async function* events(): AsyncGenerator<HostdEvent> {
    for (const view of views) {
      asked++
      yield { type: 'vm', vm: { ...VIEW, ...view } }
    }
  }
  const invocation = {
    output: { talk: (line: string) => said.push(line), waiting: () => undefined },
    // No broker was ever pinned there.
    directories: directories({ CLOISTER_HOME: '/nonexistent' }),
    signal: new AbortController().signal,
    options,
  } as unknown as Invocation
  const result = followStart({ ...VIEW, ...started }, { events }, invocation)
  return { result, said, asked: () => asked }
}

describe('followStart()', () => {
  test('waits until the disk is open, and tells each stage once', async () => {
    const keys = [stage(80, 'attested'), stage(84, 'keys')]
    const { result, said } = follow([
      { stages: keys.slice(0, 1) },
      { stages: keys },
      { stages: [...keys, stage(110, 'ready')] },
      { state: 'failed' },
    ])
    assert.equal((await result).stages.length, 3)
    assert.deepEqual(said, ['    1.0 s  attested', '    1.0 s  keys', '    1.0 s  ready'])
  })

  test('goes on while a new disk is filled', async () => {
    const { result } = follow([{ stages: [stage(85, 'install')] }, { state: 'failed' }])
    assert.equal((await result).state, 'running')
  })

  test('throws why it failed, also where no broker can say more', async () => {
    const error = new CloisterError('agent.resource-refused').toJSON()
    const { result } = follow([{ state: 'failed', error }])
    await assert.rejects(result, { code: 'agent.resource-refused' })
  })

  test('goes on over a restart that its guest asked for, and tells the stages anew', async () => {
    const error = new CloisterError('vm.died').toJSON()
    const { result, said } = follow([
      { stages: [stage(10, 'initrd')] },
      { state: 'failed', error, restartsAt: '2026-01-01T00:00:02.000Z' },
      { state: 'starting' },
      { stages: [stage(10, 'initrd'), stage(110, 'ready')] },
    ])
    assert.equal((await result).stages.length, 2)
    assert.deepEqual(
      said.map((line) => line.split(' ').at(-1)),
      ['initrd', 'TEE', 'initrd', 'ready'],
    )
  })

  test('does not wait for a boot by firmware, nor with --detach', async () => {
    for (const { result, asked } of [
      follow([{ state: 'failed' }], { boot: 'firmware' }),
      follow([{ state: 'failed' }], {}, { detach: true }),
    ]) {
      assert.equal((await result).state, 'running')
      assert.equal(asked(), 0)
    }
  })
})
