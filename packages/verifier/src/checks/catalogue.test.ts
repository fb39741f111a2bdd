import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CAUSES } from './causes.ts'
import { CHECK_CODES, CHECK_SECTIONS, explainCheck, isCheckCode } from './catalogue.ts'
import { FIXES } from './fixes.ts'

test('every check code has a meaning, a cause and a fix', () => {
  assert.ok(CHECK_CODES.length > 200)
  for (const code of CHECK_CODES) {
    const { meaning, cause, fix } = explainCheck(code)
    for (const text of [meaning, cause, fix]) assert.match(text, /^\S.{8,}[^.]$/s, code)
    assert.ok(isCheckCode(code))
  }
  assert.ok(!isCheckCode('snp.nonsense') && !isCheckCode('toString'))
})

test('the page lists every code once, and no advice is for codes that are gone', () => {
  const listed = CHECK_SECTIONS.flatMap(([, codes]) => Object.keys(codes))
  assert.deepEqual(listed.toSorted(), CHECK_CODES.toSorted())
  for (const prefix of [...Object.keys(CAUSES), ...Object.keys(FIXES)])
    assert.ok(
      listed.some((code) => code === prefix || code.startsWith(`${prefix}.`)),
      prefix,
    )
})
