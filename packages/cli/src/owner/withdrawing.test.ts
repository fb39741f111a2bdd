import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import type { Invocation } from '../command.ts'
import { versionNumber, withdrawing } from './withdrawing.ts'

function invocation(options: Invocation['options'], said: object[] = []): Invocation {
  const output = { object: async (value: object) => void said.push(value) }
  const signal = new AbortController().signal
  return { options, output, signal } as unknown as Invocation
}

test('withdrawing() does nothing without a yes', async () => {
  const never = () => Promise.reject(new Error('withdrawn'))
  await assert.rejects(withdrawing('it', invocation({}), never), { code: 'cli.declined' })
})

test('withdrawing() says what is withdrawn, or that nothing was there', async () => {
  const said: object[] = []
  await withdrawing('it', invocation({ yes: true }, said), () => Promise.resolve())
  assert.deepEqual(said, [{ withdrawn: 'it' }])
  const refuse = (code: 'broker.not-found' | 'broker.admin.unauthorized') => () =>
    Promise.reject(new CloisterError(code))
  const yes = invocation({ yes: true })
  await assert.rejects(withdrawing('it', yes, refuse('broker.not-found')), {
    code: 'owner.nothing-registered',
  })
  await assert.rejects(withdrawing('it', yes, refuse('broker.admin.unauthorized')), {
    code: 'broker.admin.unauthorized',
  })
})

test('versionNumber() takes whole numbers from 1', () => {
  assert.equal(versionNumber('3020781'), 3_020_781)
  for (const text of ['', '0', '-1', '1.5', '01', '1e3', '9999999999999999'])
    assert.throws(() => versionNumber(text), { code: 'cli.usage' })
})
