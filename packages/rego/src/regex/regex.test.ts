import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BuiltinError } from '../builtins/registry.ts'
import { globToRegex } from './glob.ts'
import { Regex } from './regex.ts'

const none = (): void => undefined

const MATCHES: readonly [string, string, boolean][] = [
  ['a', 'xay', true],
  ['^a$', 'a\n', false],
  ['(?m)^b$', 'a\nb\nc', true],
  ['.', '\n', false],
  ['(?s).', '\n', true],
  ['(?i)STRASSE', 'strasse', true],
  ['[^a-c]', 'b', false],
  ['[[:alpha:]]+\\d', 'ab1', true],
  ['\\pL\\p{Greek}\\P{L}', 'aβ1', true],
  ['a{2,3}b', 'aab', true],
  ['^a{2,3}$', 'aaaa', false],
  ['a{,2}', 'a{,2}', true],
  ['\\bfoo\\b', 'a foo b', true],
  ['\\Bfoo', 'afoo', true],
  ['\\Q.*\\E', 'a.*b', true],
  ['\\x{1F600}', '😀', true],
  ['^.$', '😀', true],
  ['(?i:a)b', 'Ab', true],
  ['(?i:a)b', 'AB', false],
  ['^(?:a|b)+$', 'abba', true],
  ['[\\w.-]+@x', 'a.b-c@x', true],
  ['[]a]', ']', true],
]
for (const [pattern, text, wanted] of MATCHES)
  test(`matches() /${pattern}/ on ${JSON.stringify(text)}`, () =>
    assert.equal(new Regex(pattern).matches(text, none), wanted))

test('what RE2 refuses is refused', () => {
  for (const pattern of [
    '(a',
    'a)',
    '[a',
    '\\1',
    '(?=a)',
    '(?<!a)b',
    'a**',
    '*a',
    'a{1001}',
    '\\p{Nope}',
    '(?P<n>a)(?P<n>b)',
    '((a{1000}){1000}){10}',
  ])
    assert.throws(() => new Regex(pattern), BuiltinError, pattern)
})

test('findAll() is leftmost-first with groups', () => {
  const all = (pattern: string, text: string): string[][] => {
    const regex = new Regex(pattern)
    return regex.findAll(text, Infinity, none).map((match) => regex.groups(text, match))
  }
  assert.deepEqual(all('a|ab', 'ab'), [['a']])
  assert.deepEqual(all('(a+)(b?)', 'aab a'), [
    ['aab', 'aa', 'b'],
    ['a', 'a', ''],
  ])
  assert.deepEqual(all('a*', 'baa'), [[''], ['aa']])
  assert.deepEqual(all('a+?', 'aa'), [['a'], ['a']])
  assert.deepEqual(all('(a)|(b)', 'ba'), [
    ['b', '', 'b'],
    ['a', 'a', ''],
  ])
})

test('replaceAll() and split() follow Go', () => {
  assert.equal(new Regex('(?P<k>\\w+)=(\\w+)').replaceAll('a=b', '$2=${k}$$$9', none), 'b=a$')
  assert.equal(new Regex('x*').replaceAll('ab', '-', none), '-a-b-')
  assert.deepEqual(new Regex(',').split('a,b,', none), ['a', 'b', ''])
})

test('time is linear in the text, whatever the expression', () => {
  let steps = 0
  const text = 'a'.repeat(20_000)
  assert.equal(
    new Regex('^(a+)+(a|a)*(a*)*b$').matches(text, (threads) => (steps += threads)),
    false,
  )
  assert.ok(steps < text.length * 40, String(steps))
})

test('globToRegex() keeps to separators', () => {
  const glob = (pattern: string, text: string, separators: string[]): boolean =>
    new Regex(globToRegex(pattern, separators)).matches(text, none)
  assert.equal(glob('*.com', 'a.com', ['.']), true)
  assert.equal(glob('*.com', 'a.b.com', ['.']), false)
  assert.equal(glob('**.com', 'a.b.com', ['.']), true)
  assert.equal(glob('{a,b?}c', 'bxc', []), true)
  assert.equal(glob('[!a-c]', 'b', []), false)
  assert.equal(glob('a.c', 'abc', []), false)
  assert.throws(() => globToRegex('{a', []), BuiltinError)
})
