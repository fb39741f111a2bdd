import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isCheckCode } from '@cloister/verifier/checks/catalogue'
import { CHECK_AREAS } from './check-areas.ts'
import { checkLines } from './check-lines.ts'
import { OWNER_CHECKS } from './owner/owner-checks.ts'
import { paint } from './paint.ts'

const plain = paint(false)
const pass = (code: string) => ({ code, outcome: 'pass' as const })

describe('checkLines()', () => {
  test('folds what passed by area and says what that means', () => {
    const lines = checkLines([pass('snp.policy.debug'), pass('snp.policy.migration-agent')], plain)
    assert.deepEqual(lines, [
      '  ok      snp.policy        no debugging by the host, no migration agent (2 checks)',
    ])
  })

  test('says nothing of an area whose decisive check is not among those that passed', () => {
    assert.deepEqual(checkLines([pass('snp.policy.debug')], plain), [
      '  ok      snp.policy        1 check',
    ])
  })

  test('shows each check that did not pass, with expected and received, and what nobody looked at', () => {
    const lines = checkLines(
      [
        pass('snp.policy.migration-agent'),
        { code: 'snp.policy.debug', outcome: 'fail', expected: 'false', received: 'tr\u001Bue' },
        { code: 'snp.chip.not-allowed', outcome: 'not-checked' },
      ],
      plain,
    )
    assert.deepEqual(lines, [
      '  ok      snp.policy        1 check',
      '  FAIL    snp.policy.debug',
      '          expected  false',
      String.raw`          received  tr\u001bue`,
      '  not checked: snp.chip.not-allowed',
    ])
  })

  test('shows the first of many expected values, and all when each check is asked for', () => {
    const expected = ['a1', 'b2', 'c3', 'd4'].join(' or ')
    const check = { code: 'snp.measurement.mismatch', outcome: 'fail', expected } as const
    assert.deepEqual(checkLines([check], plain), [
      '  FAIL    snp.measurement.mismatch',
      '          expected  a1, or others that --verbose shows',
    ])
    assert.ok(checkLines([check], plain, true).includes(`          expected  ${expected}`))
  })

  test('gives every check a line when each is asked for', () => {
    const checks = [pass('snp.policy.debug'), pass('snp.policy.migration-agent')]
    assert.equal(checkLines(checks, plain, true).length, 2)
  })
})

test('CHECK_AREAS names codes that there are', () => {
  for (const [area, { needs }] of Object.entries(CHECK_AREAS))
    for (const need of needs) {
      const code = `${area}.${need}`
      assert.ok(isCheckCode(code) || Object.hasOwn(OWNER_CHECKS, code), code)
    }
})
