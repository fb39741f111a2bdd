import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { FakeTpm } from '../testing/fake-tpm.ts'
import { TPM_HASHES } from './algorithms.ts'
import { encodeTpmEvidenceJson, parseTpmEvidenceJson } from './evidence-json.ts'
import { encodeTpmSignature } from './signature.ts'

const TPM = new FakeTpm()

function quoteOf(hash: 'sha256' | 'sha384') {
  const values = Array.from({ length: 24 }, (_, index) =>
    new Uint8Array(TPM_HASHES[hash].size).fill(index),
  )
  const { message, signature } = TPM.quote(new Map(values.entries()), {}, hash)
  return { hash, message, signature: encodeTpmSignature(signature), values }
}

const PARTS = {
  quote: quoteOf('sha256'),
  otherQuotes: [quoteOf('sha384')],
  ak: TPM.spki,
  publicArea: TPM.publicArea(),
  certificate: TPM.certificate(),
  endorsementCertificate: TPM.certificate(),
  eventLog: Uint8Array.of(1, 2, 3),
}

test('what is encoded is read again', () => {
  const evidence = parseTpmEvidenceJson(JSON.parse(JSON.stringify(encodeTpmEvidenceJson(PARTS))))
  const { publicArea, quotes, nonceSize, ...rest } = evidence
  const { ak, certificate, endorsementCertificate, eventLog } = PARTS
  const hex = (parts: object) =>
    Object.entries(parts).map(([name, bytes]) => [name, toHex(bytes as Uint8Array)])
  assert.deepEqual(hex(rest), hex({ ak, certificate, endorsementCertificate, eventLog }))
  assert.equal(toHex(publicArea?.raw ?? new Uint8Array()), toHex(PARTS.publicArea))
  assert.equal(nonceSize, 32)
  assert.deepEqual(
    quotes.map(({ banks: [bank] }) => [bank?.hash, [...(bank?.values.values() ?? [])]]),
    [
      ['sha256', PARTS.quote.values],
      ['sha384', PARTS.otherQuotes[0]?.values],
    ],
  )
})

test('attributes of another key, an unknown bank, too much of anything: FormatError', () => {
  const good = encodeTpmEvidenceJson(PARTS)
  const [other] = good['other_quotes'] as readonly object[]
  const broken = [
    { ...good, ak_public_area: Buffer.from(new FakeTpm().publicArea()).toString('base64') },
    { ...good, other_quotes: [{ ...other, hash: 'md5' }] },
    { ...good, other_quotes: Array.from({ length: 4 }, () => other) },
    { ...good, event_log: 'A'.repeat((1 << 21) + 4) },
    { ...good, ak_certificate: 7 },
    { ...good, ek_certificate: null },
  ]
  for (const value of broken) assert.throws(() => parseTpmEvidenceJson(value), FormatError)
})
