import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as property, constantFrom, property as holds, jsonValue, oneof } from 'fast-check'
import { KbsAttestationSchema, KbsRequestSchema } from '@cloister/protocol/kbs'
import { readKbsAttestation, readKbsRequest } from './read-message.ts'

const ec = { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES+A256KW', x: 'A'.repeat(43), y: '_'.repeat(43) }
const keys = [
  ec,
  { ...ec, crv: 'P-521', x: '-'.repeat(88), y: 'z'.repeat(88) },
  { kty: 'RSA', alg: 'RSA-OAEP-256', n: 'b'.repeat(342), e: 'AQAB', kid: 'dropped' },
]
const attestation = {
  'init-data': { format: 'toml', body: 'version = "0.1.0"', more: 1 },
  'runtime-data': { nonce: 'nonce', 'tee-pubkey': ec, more: 1 },
  'tee-evidence': { primary_evidence: { any: [1] }, additional_evidence: '', more: 1 },
  more: 1,
}
const request = { version: '0.4.0', tee: 'snp', 'extra-params': '', more: 1 }

/** What stands in the place of each member in turn. */
const STRANGE: readonly unknown[] = [
  undefined,
  null,
  '',
  0,
  true,
  [],
  {},
  'P-256',
  'P-521',
  'EC',
  'RSA',
  'RSA-OAEP-256',
  'RSA1_5',
  'x'.repeat(16),
  'x'.repeat(17),
  'x'.repeat(32),
  'x'.repeat(33),
  'x'.repeat(42),
  'x'.repeat(44),
  'x'.repeat(88),
  'x'.repeat(8),
  'x'.repeat(9),
  'x'.repeat(341),
  'x'.repeat(342),
  'x'.repeat(1366),
  'x'.repeat(1367),
  'x'.repeat(8192),
  'x'.repeat(8193),
  `${'x'.repeat(42)}\n`,
  `${'x'.repeat(43)}\n`,
  `${'x'.repeat(42)}=`,
  ...keys,
  [ec],
]

function paths(value: unknown): readonly (readonly string[])[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[]]
  return [
    [],
    ...Object.entries(value).flatMap(([key, item]) => paths(item).map((path) => [key, ...path])),
  ]
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by
  const object = value as Record<string, unknown>
  const { [key]: _old, ...others } = object
  const item = replaced(object[key], rest, by)
  return item === undefined ? others : { ...others, [key]: item }
}

const messages = [
  { whole: request, read: readKbsRequest, schema: KbsRequestSchema },
  ...keys.map((key) => ({
    whole: replaced(attestation, ['runtime-data', 'tee-pubkey'], key),
    read: readKbsAttestation,
    schema: KbsAttestationSchema,
  })),
]

function assertSame({ read, schema }: (typeof messages)[number], message: unknown): void {
  const parsed = schema.safeParse(message)
  // As it is hashed and put into tokens: as JSON, in whose order members stand.
  assert.equal(
    JSON.stringify(read(message)),
    JSON.stringify(parsed.success ? parsed.data : undefined),
  )
}

test('messages are taken, and their members kept, just as their schemas say', () => {
  for (const message of messages) {
    const taken = message.read(message.whole)
    assert.notEqual(taken, undefined)
    assert.doesNotMatch(JSON.stringify(taken), /more|kid/)
    for (const path of paths(message.whole))
      for (const strange of STRANGE) assertSame(message, replaced(message.whole, path, strange))
  }
})

test('whatever JSON stands anywhere in a message, the reader and the schema agree', () => {
  const cases = messages.flatMap((message) =>
    paths(message.whole).map((path) => ({ message, path })),
  )
  property(
    holds(
      constantFrom(...cases),
      oneof(jsonValue(), constantFrom(...STRANGE)),
      ({ message, path }, value) => {
        assertSame(message, replaced(message.whole, path, value))
      },
    ),
    { numRuns: 1000 },
  )
})

test('members of the prototype are no members', () => {
  const polluted: unknown = JSON.parse(
    '{"__proto__":{"version":"0.4.0","tee":"snp","extra-params":""}}',
  )
  assert.equal(readKbsRequest(polluted), undefined)
  assert.equal(readKbsRequest(JSON.parse('{"constructor":1}')), undefined)
})
