import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../bytes/base64.ts'
import { toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { encodeCbor } from '../formats/cbor-item.ts'
import { parseCbor } from '../formats/cbor-reader.ts'
import { encodeCoseSign1 } from '../formats/cose-sign1.ts'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { ANY_NITRO } from '../testing/any-expectation.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { appraiseNitro } from './appraise.ts'
import { parseNitroDocument } from './document.ts'
import type { NitroPolicy } from './policy.ts'
import { recogniseNitroDocument } from './recognise.ts'

const PRODUCTION = 'nitro/production/document.bin'
const DEBUG = 'nitro/debug/document.bin'
const IN_OCTOBER = new Date('2022-10-13T10:00:00Z')

function appraise(bytes: Uint8Array, now: Date, policy: NitroPolicy = {}, expect: object = {}) {
  return appraiseNitro(bytes, { expect: { ...ANY_NITRO, ...expect }, now, policy })
}

function reasons(result: { readonly status: string; readonly reasons?: readonly string[] }) {
  return [result.status, ...(result.reasons ?? [])]
}

test('a production document is affirming in its window alone', WITH_VECTORS, async () => {
  const document = vector(PRODUCTION)
  for (const [time, status, code] of [
    ['2022-10-13T08:57:58Z', 'contraindicated', 'nitro.endorsement.not-yet-valid'],
    ['2022-10-13T08:57:59Z', 'affirming'],
    ['2022-10-13T11:58:02Z', 'affirming'],
    ['2022-10-13T11:58:03Z', 'none', 'nitro.endorsement.expired'],
  ] as const) {
    const result = await appraise(document, new Date(time))
    assert.deepEqual(reasons(result), [status, ...(code === undefined ? [] : [code])], time)
  }
  const archived = await appraise(document, new Date('2026-01-01'), { judgeAtDocumentTime: true })
  assert.deepEqual(reasons(archived), ['warning', 'nitro.document.archived'])
})

test(
  'Reference Values of PCRs must match, and an absent PCR matches none',
  WITH_VECTORS,
  async () => {
    const document = vector(PRODUCTION)
    const pcrs = [...parseNitroDocument(document).pcrs].map(
      ([index, value]) => [`pcr${index}`, toHex(value)] as const,
    )
    assert.ok(pcrs[0]?.[1].startsWith('f4d48b81'))
    const good = await appraise(document, IN_OCTOBER, {}, Object.fromEntries(pcrs))
    assert.equal(good.status, 'affirming')
    for (const expect of [{ pcr8: '11'.repeat(48) }, { pcr31: '00'.repeat(48) }])
      assert.deepEqual(reasons(await appraise(document, IN_OCTOBER, {}, expect)), [
        'contraindicated',
        'nitro.pcr.mismatch',
      ])
  },
)

test(
  'the PCRs recorded beside it are those of another image, but for PCR1',
  WITH_VECTORS,
  async () => {
    // The origin names another file for them: PCR1, kernel and boot file system, is what the two images share.
    const { pcrs } = JSON.parse(
      new TextDecoder().decode(vector('nitro/production/expected-pcrs.json')),
    ) as { pcrs: Record<string, string> }
    const result = await appraise(vector(PRODUCTION), IN_OCTOBER, {}, pcrs)
    assert.deepEqual(reasons(result), ['contraindicated', 'nitro.pcr.mismatch'])
    const wrong = result.checks.filter(({ outcome }) => outcome === 'fail')
    assert.deepEqual(
      wrong.map(({ where }) => where),
      ['pcr0', 'pcr2', 'pcr8'],
    )
  },
)

test('a debug document is refused unless the policy allows it', WITH_VECTORS, async () => {
  const now = new Date('2022-10-12T15:00:00Z')
  assert.deepEqual(reasons(await appraise(vector(DEBUG), now)), [
    'contraindicated',
    'nitro.policy.debug',
  ])
  const allowed = await appraise(vector(DEBUG), now, { allowDebugEnclave: true })
  assert.deepEqual(reasons(allowed), ['warning', 'nitro.policy.debug'])
})

test('what the enclave did not put in matches no expectation', WITH_VECTORS, async () => {
  const document = parseNitroDocument(vector(PRODUCTION))
  for (const [name, code] of [
    ['nonce', 'nitro.nonce.mismatch'],
    ['userData', 'nitro.user-data.mismatch'],
    ['publicKey', 'nitro.public-key.mismatch'],
  ] as const) {
    const result = await appraise(vector(PRODUCTION), IN_OCTOBER, {}, { [name]: 'abcd' })
    assert.deepEqual(reasons(result), ['contraindicated', code])
    const received = document[name]
    if (received === undefined) continue
    const good = await appraise(vector(PRODUCTION), IN_OCTOBER, {}, { [name]: received })
    assert.equal(good.status, 'affirming')
  }
})

test('documents encode back to the same bytes, in raw, hex and base64', WITH_VECTORS, () => {
  for (const path of [PRODUCTION, DEBUG]) {
    const bytes = vector(path)
    const { message } = parseNitroDocument(bytes)
    assert.equal(toHex(encodeCoseSign1(message)), toHex(bytes))
    assert.equal(toHex(encodeCbor(parseCbor('payload', message.payload))), toHex(message.payload))
    for (const text of [toHex(bytes), `0x${toHex(bytes)}\n`, toBase64(bytes)])
      assert.equal(toHex(recogniseNitroDocument(toUtf8(text))), toHex(bytes))
  }
})

test('no changed bit, no truncation and no trailing byte is accepted', WITH_VECTORS, async () => {
  const document = vector(PRODUCTION)
  const cache = new EndorsementCache({ maxEntries: 4 })
  const statusOf = async (bytes: Uint8Array) =>
    (await appraiseNitro(bytes, { expect: ANY_NITRO, now: IN_OCTOBER, cache })).status
  assert.equal(await statusOf(document), 'affirming')
  assert.equal(await statusOf(document), 'affirming')
  assert.equal(cache.size, 1)
  for (let offset = 0; offset < document.length; offset++) {
    const bit = 1 << (offset & 7)
    document[offset] = (document[offset] as number) ^ bit
    assert.match(await statusOf(document), /contraindicated|none/, `byte ${offset}`)
    document[offset] = (document[offset] as number) ^ bit
  }
  for (let length = 0; length < document.length; length++)
    assert.equal(await statusOf(document.subarray(0, length)), 'contraindicated')
  assert.equal(await statusOf(Uint8Array.of(...document, 0)), 'contraindicated')
})
