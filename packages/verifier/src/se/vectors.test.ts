import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { toDer } from '../formats/pem.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { appraiseSe } from './appraise.ts'
import type { SeAppraiseOptions } from './appraise.ts'
import { measuredBytes } from './measurement.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const CERTIFICATES = ['host', 'ibm', 'inter_ca', 'root_ca']
const file = (name: string) => vector(`se/hkd-certs/${name}`)

interface Recorded {
  readonly name: string
  readonly hmacKey: string
  readonly imageHeaderTags: Record<'pld' | 'ald' | 'tld' | 'tag', string>
  readonly cuid: string
  readonly userData: string | null
  readonly nonce: string | null
  readonly additionalData: string | null
  readonly message: string
  readonly expectedMeasurement: string
}

function recorded(): readonly Recorded[] {
  const text = new TextDecoder().decode(vector('se/attestation-hmac-vectors.json'))
  return JSON.parse(text) as Recorded[]
}

function evidenceOf({
  imageHeaderTags,
  cuid,
  userData,
  additionalData,
  expectedMeasurement,
}: Recorded) {
  const { pld, ald, tld, tag } = imageHeaderTags
  return {
    measurement: fromHex(expectedMeasurement),
    imageHeaderTags: concatBytes(...[pld, ald, tld, tag].map(fromHex)),
    cuid: fromHex(cuid),
    userData: fromHex(userData ?? ''),
    additionalData: fromHex(additionalData ?? ''),
  }
}

async function appraise(vectorOf: Recorded, change: Partial<SeAppraiseOptions> = {}) {
  const [root] = toDer([file('root_ca.crt')])
  const fingerprint = toHex(await runtimeCrypto.digest('SHA-256', root ?? new Uint8Array()))
  return appraiseSe(evidenceOf(vectorOf), {
    expect: { imageHeaderTags: 'any', userData: 'any' },
    now: NOW,
    measurementKey: fromHex(vectorOf.hmacKey),
    ...(vectorOf.nonce !== null && { requestNonce: fromHex(vectorOf.nonce) }),
    endorsements: {
      certificates: CERTIFICATES.map((name) => file(`${name}.crt`)),
      revocationLists: [file('inter_ca.crl'), file('root_ca.crl')],
    },
    policy: { trustedRoots: [fingerprint] },
    ...change,
  })
}

test('recorded measurements are recomputed, message and HMAC', WITH_VECTORS, async () => {
  for (const one of recorded()) {
    const evidence = evidenceOf(one)
    const message = measuredBytes(evidence, fromHex(one.nonce ?? ''))
    assert.equal(toHex(message), one.message, one.name)
    const result = await appraise(one)
    assert.equal(result.status, 'affirming', JSON.stringify(result))
    const { imageHeaderTags, userData, cuid } = evidence
    const exact = await appraise(one, { expect: { imageHeaderTags, userData, cuid } })
    assert.equal(exact.status, 'affirming')
  }
})

test('the host key document is valid through its chain, and only so', WITH_VECTORS, async () => {
  const [one] = recorded()
  assert.ok(one !== undefined)
  const run = async (
    certificates: readonly string[],
    lists: readonly string[],
    policy?: object,
  ) => {
    const result = await appraise(one, {
      endorsements: {
        certificates: certificates.map((name) => file(`${name}.crt`)),
        revocationLists: lists.map((name) => file(`${name}.crl`)),
      },
      ...(policy && { policy }),
    })
    return [result.status, ...('reasons' in result ? result.reasons : [])]
  }
  const both = ['inter_ca', 'root_ca']
  assert.deepEqual(await run(CERTIFICATES.toReversed(), both), ['affirming'])
  assert.deepEqual(await run([], both), ['none', 'se.host-key.missing'])
  for (const missing of ['ibm', 'inter_ca', 'root_ca']) {
    const others = CERTIFICATES.filter((name) => name !== missing)
    assert.deepEqual(await run(others, both), ['contraindicated', 'se.endorsement.incomplete'])
  }
  assert.deepEqual(await run(CERTIFICATES, ['root_ca']), ['none', 'se.revocation.missing'])
  assert.deepEqual(await run(CERTIFICATES, both, {}), [
    'contraindicated',
    'se.endorsement.untrusted-root',
  ])
})

test('no changed byte of what is measured is accepted', WITH_VECTORS, async () => {
  const [one] = recorded()
  assert.ok(one !== undefined)
  const evidence = evidenceOf(one)
  const options = {
    expect: { imageHeaderTags: 'any', userData: 'any' },
    now: NOW,
    measurementKey: fromHex(one.hmacKey),
    requestNonce: fromHex(one.nonce ?? ''),
  } as const
  for (const field of Object.values(evidence))
    for (let bit = 0; bit < field.length * 8; bit++) {
      field[bit >> 3] = (field[bit >> 3] as number) ^ (1 << (bit & 7))
      const result = await appraiseSe(evidence, options)
      assert.ok('reasons' in result && result.reasons.includes('se.measurement.invalid'))
      field[bit >> 3] = (field[bit >> 3] as number) ^ (1 << (bit & 7))
    }
})
