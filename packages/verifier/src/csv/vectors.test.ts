import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { PLATFORM_CERTIFICATE_BYTES, ROOT_CERTIFICATE_BYTES } from './certificate.ts'
import { parsePlatformCertificate, parseRootCertificate } from './certificate.ts'
import { csvClaims } from './claims.ts'
import { parseCsvReport } from './report.ts'

test('a CSV report says what its guest put in', WITH_VECTORS, () => {
  const report = parseCsvReport(vector('csv/report.cert'))
  const claims = csvClaims(report)
  assert.ok(claims.reportData.startsWith(Buffer.from('user data').toString('hex')))
  assert.equal(claims.serialNumber, 'NZA9T14052605')
  assert.equal(claims.signatureUsage, 'pek')
  assert.equal(claims.policy, '40000001')
  assert.equal(report.pek.usage, 'pek')
  assert.equal(report.pek.key.userId, 'HYGON-SSD-PEK')
  assert.deepEqual(
    report.pek.signatures.map(({ usage }) => usage),
    ['cek', 'oca'],
  )
})

test('the certificates name each other', WITH_VECTORS, () => {
  const hrk = parseRootCertificate(vector('csv/hrk.cert'))
  const hsk = parseRootCertificate(vector('csv/hsk.cert'))
  const cek = parsePlatformCertificate(vector('csv/cek.cert'))
  assert.deepEqual([hrk.usage, hsk.usage, cek.usage], ['hrk', 'hsk', 'cek'])
  assert.equal(toHex(hsk.issuerKeyId), toHex(hrk.keyId))
  assert.equal(toHex(hrk.issuerKeyId), toHex(hrk.keyId))
  assert.deepEqual(
    cek.signatures.map(({ usage }) => usage),
    ['hsk'],
  )
  assert.deepEqual(parseRootCertificate(vector('roots/hygon-hrk.cert')), hrk)
  const both = vector('csv/hsk_cek.cert')
  assert.deepEqual(parseRootCertificate(both.subarray(0, ROOT_CERTIFICATE_BYTES)), hsk)
  assert.deepEqual(parsePlatformCertificate(both.subarray(ROOT_CERTIFICATE_BYTES)), cek)
})

test('truncated, padded and damaged files are refused', WITH_VECTORS, () => {
  for (const [path, parse] of [
    ['csv/report.cert', parseCsvReport],
    ['csv/hrk.cert', parseRootCertificate],
    ['csv/cek.cert', parsePlatformCertificate],
  ] as const) {
    const bytes = vector(path)
    for (let length = 0; length < bytes.length; length++)
      assert.throws(() => parse(bytes.subarray(0, length)), FormatError)
    assert.throws(() => parse(Uint8Array.of(...bytes, 0)), FormatError)
  }
  for (const offset of [0, 8, 12, 16, 0xa4, 1044, 1300]) {
    const bytes = vector('csv/cek.cert').slice(0, PLATFORM_CERTIFICATE_BYTES)
    bytes[offset] = 0xff
    assert.throws(() => parsePlatformCertificate(bytes), FormatError, `byte ${offset}`)
  }
})
