import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { runtimeCrypto } from '#crypto'
import { ANY_TD } from '../testing/any-expectation.ts'
import { FAKE_TD, FakeIntel } from '../testing/fake-intel.ts'

const NOW = new Date('2026-06-01')
const DAY_MS = 86_400_000

test('a cold quote costs nine signature checks in a row and four keys, and the root that is pinned is read no more', async () => {
  const intel = new FakeIntel()
  const quote = intel.quote({ kind: 'tdx', report: FAKE_TD })
  const day = (offset: number) => new Date(NOW.getTime() + offset * DAY_MS)
  const endorsements = intel.endorsements('tdx', day(-1), day(1))
  const appraise = () => intel.appraiseTdx(quote, { expect: ANY_TD, endorsements, now: NOW })
  assert.equal((await appraise()).status, 'affirming')

  const done: string[] = []
  const note = <Name extends 'verify' | 'verifyDer' | 'importPublicKey'>(
    name: Name,
    word: string,
  ) => {
    const real = runtimeCrypto[name].bind(runtimeCrypto) as (...words: unknown[]) => unknown
    return mock.method(runtimeCrypto, name, ((...words: unknown[]) => {
      done.push(word)
      return real(...words)
    }) as never)
  }
  const mocks = [
    note('importPublicKey', 'key'),
    note('verify', 'check'),
    note('verifyDer', 'check'),
  ]
  try {
    assert.equal((await appraise()).status, 'affirming')
  } finally {
    for (const each of mocks) each.mock.restore()
  }
  assert.deepEqual(done, [...Array<string>(4).fill('key'), ...Array<string>(9).fill('check')])
})
