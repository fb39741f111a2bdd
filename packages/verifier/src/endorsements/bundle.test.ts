import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { toBase64 } from '../bytes/base64.ts'
import { FakeAmd } from '../testing/fake-amd.ts'
import { bundleEndorsements, encodeBundle, isBundle, makeBundle, parseBundle } from './bundle.ts'

const amd = new FakeAmd({ notAfter: new Date('2030-01-01') })
const list = amd.revocationList(new Date('2026-05-01'), new Date('2026-07-01'))
const bundle = makeBundle({
  tee: 'snp',
  subject: { line: 'Genoa', chipId: '00' },
  fetchedAt: new Date('2026-06-01'),
  items: [
    { kind: 'certificate', data: amd.ask },
    { kind: 'revocation-list', data: list },
  ],
})
const bytes = encodeBundle(bundle)
const json = () => JSON.parse(fromUtf8('test', 'text', bytes)) as Record<string, unknown>
const refuses = (change: object | string, why: string) => {
  const text = typeof change === 'string' ? change : JSON.stringify({ ...json(), ...change })
  assert.throws(() => parseBundle(toUtf8(text)), FormatError, why)
}

test('a bundle ends with the first of its items, and reads back as it was written', () => {
  assert.equal(bundle.expires.toISOString(), '2026-07-01T00:00:00.000Z')
  const again = parseBundle(bytes)
  assert.deepEqual(again.subject, bundle.subject)
  assert.deepEqual(encodeBundle(again), bytes)
  assert.equal(bundleEndorsements(again).revocationLists.length, 1)
  assert.ok(isBundle(bytes))
  assert.ok(!isBundle(toUtf8('{"tcbInfo": {}}')))
})

test('parseBundle() refuses whatever is not exactly that format', () => {
  const [item] = json()['items'] as [{ kind: string; data: string }]
  refuses({ format: 'other' }, 'format')
  refuses({ version: 2 }, 'version')
  refuses({ version: '1' }, 'version as text')
  refuses({ tee: 'sev' }, 'tee')
  refuses({ subject: { serial: '1' } }, 'subject of unknown name')
  refuses({ subject: { line: 1 } }, 'subject that is no text')
  refuses({ subject: { line: 'x'.repeat(1025) } }, 'long subject')
  refuses({ fetchedAt: '2026-06-01' }, 'time')
  refuses({ expires: '2026-08-01T00:00:00.000Z' }, 'another end than its items have')
  refuses({ items: [] }, 'no items')
  refuses({ items: [{ ...item, extra: 1 }] }, 'unknown member of an item')
  refuses({ items: [{ ...item, kind: 'tcb-info' }] }, 'an item of another kind')
  refuses({ items: [{ ...item, data: `${item.data}\n` }] }, 'base64 with white space')
  refuses({ items: [{ ...item, data: toBase64(list.subarray(1)) }] }, 'a cut item')
  refuses({ items: Array.from({ length: 257 }, () => item) }, 'too many items')
  refuses({ more: 1 }, 'unknown member')
  refuses(fromUtf8('test', 'text', bytes).replace('{', '{"version": 1,'), 'a member twice')
  refuses('', 'nothing')
  refuses('null', 'null')
  for (let length = 0; length < bytes.length - 1; length += 97)
    refuses(fromUtf8('test', 'text', bytes.subarray(0, length)), `cut at ${length}`)
})
