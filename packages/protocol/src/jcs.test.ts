import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalJson, type JsonValue } from './jcs.ts'

test('canonicalJson() gives the text of RFC 8785, 3.2.2', () => {
  const input = JSON.parse(
    '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
      '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
  ) as JsonValue
  assert.equal(
    canonicalJson(input),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
      '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
})

test('canonicalJson() sorts members by UTF-16 code units (RFC 8785, 3.2.3)', () => {
  const input = {
    '\u20ac': 'Euro Sign',
    '\r': 'Carriage Return',
    '\ufb33': 'Hebrew Letter Dalet With Dagesh',
    '1': 'One',
    '\ud83d\ude00': 'Emoji: Grinning Face',
    '\u0080': 'Control',
    '\u00f6': 'Latin Small Letter O With Diaeresis',
  }
  const order = Object.values(JSON.parse(canonicalJson(input)) as Record<string, string>)
  // "1" is an integer key, which JavaScript objects put first on reading; the text has it second.
  assert.deepEqual(
    order.filter((name) => name !== 'One'),
    [
      'Carriage Return',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ],
  )
  assert.match(canonicalJson(input), /^\{"\\r":"Carriage Return","1":"One","\u0080":/)
})

test('canonicalJson() writes the numbers of RFC 8785, appendix B', () => {
  const cases: [string, string][] = [
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ]
  for (const [bits, text] of cases)
    assert.equal(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE()), text)
})

test('canonicalJson() refuses what I-JSON cannot hold', () => {
  const deep = JSON.parse('['.repeat(100) + ']'.repeat(100)) as JsonValue
  const bad = [NaN, Infinity, '\ud800', { '\udc00': 1 }, deep, { a: undefined } as unknown]
  for (const value of bad) assert.throws(() => canonicalJson(value as JsonValue), TypeError)
})
