import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { encodeCbor } from '../formats/cbor-item.ts'
import { parseCbor } from '../formats/cbor-reader.ts'
import { ANY_CCA } from '../testing/any-expectation.ts'
import { fromDiagnostic } from '../testing/cbor-diagnostic.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { appraiseCca } from './appraise.ts'
import { parsePlatformClaimsJson } from './claims-json.ts'
import { readPlatformClaims } from './platform-claims.ts'
import { readRealmClaims } from './realm-claims.ts'
import { recogniseCcaToken } from './recognise.ts'
import { parseCcaToken } from './token.ts'

const TOKEN = 'cca/tf-rmm/cca_token.cbor'
const NOW = new Date('2026-06-01T00:00:00Z')

const keys = () => ({ platformKeys: [{ publicKey: vector('cca/tf-rmm/cca_platform.pub') }] })

function fields(run: () => unknown): string {
  try {
    run()
    return 'valid'
  } catch (error) {
    if (error instanceof FormatError) return error.field
    throw error
  }
}

test('platform claims in CBOR: the outcomes of the index', WITH_VECTORS, () => {
  for (const [name, outcome] of [
    ['ClaimsAll', 'valid'],
    ['ClaimsInvalidMultiNonce', '10'],
    ['ClaimsMandatoryOnly', 'valid'],
    ['ClaimsMissingMandatoryNonce', '10'],
    ['Example', 'valid'],
    ['LegacyClaimsAll', 'valid'],
    ['LegacyClaimsMandatoryOnly', 'valid'],
  ] as const) {
    const item = diagnostic(`platform/cbor/CcaPlatform${name}`)
    assert.equal(
      fields(() => readPlatformClaims(item)),
      outcome,
      name,
    )
  }
})

test('realm claims in CBOR: the outcomes of the index, both forms of the key', WITH_VECTORS, () => {
  for (const [name, outcome] of [
    ['CcaRealmClaimsAll', 'valid'],
    ['CcaRealmExample', 'valid'],
    ['CcaRealmLegacyClaimsAll', 'valid'],
    ['CcaRealmClaimsMissingMandNonce', '10'],
    ['CcaClaimsMissingMandExtendedMeas', '44239'],
    ['CcaClaimsMissingMandHashAlgID', '44236'],
    ['CcaClaimsMissingMandInitialMeas', '44238'],
    ['CcaClaimsMissingMandPubKey', '44237'],
  ] as const) {
    const item = diagnostic(`realm/cbor/${name}`)
    // These have the key as a bare point beside a profile; take the profile away to reach what they are about.
    const older = name.includes('Missing') ? withoutProfile(item) : item
    assert.equal(
      fields(() => readRealmClaims(older)),
      outcome,
      name,
    )
    if (outcome !== 'valid') assert.throws(() => readRealmClaims(item), FormatError)
  }
})

test('platform claims in JSON: the outcomes of the index', WITH_VECTORS, () => {
  for (const [name, outcome] of [
    ['token-valid-full', 'valid'],
    ['config-missing', '2401'],
    ['hash-algid-invalid', '2402'],
    ['hash-algid-missing', '2402'],
    ['implementation-id-invalid-long', '2396'],
    ['implementation-id-invalid-missing', '2396'],
    ['instance-id-invalid', '256'],
    ['instance-id-missing', '256'],
    ['invalid-profile', '265'],
    ['invalid-psa-claims', 'psa-implementation-id'],
    ['lifecycle-invalid', '2395'],
    ['no-sw-components', '2399'],
    ['nonce-invalid', '10'],
    ['sw-components-invalid-combo', 'text'],
    ['sw-components-invalid-missing', '2399'],
    ['vsi-invalid-empty', '2400'],
  ] as const) {
    const bytes = vector(`cca/platform/json/test-${name}.json`)
    assert.equal(
      fields(() => parsePlatformClaimsJson(bytes)),
      outcome,
      name,
    )
  }
})

test('the TF-RMM token is affirming under its platform key alone', WITH_VECTORS, async () => {
  const token = vector(TOKEN)
  const good = await appraiseCca(token, { expect: ANY_CCA, now: NOW, endorsements: keys() })
  assert.equal(good.status, 'affirming', JSON.stringify(good))
  const { realm, platform } = parseCcaToken(token)
  const exact = {
    challenge: realm.claims.challenge,
    initialMeasurement: realm.claims.initialMeasurement,
    personalizationValue: realm.claims.personalizationValue,
    rem0: realm.claims.extensibleMeasurements[0] ?? 'any',
    rem1: realm.claims.extensibleMeasurements[1] ?? 'any',
    rem2: realm.claims.extensibleMeasurements[2] ?? 'any',
    rem3: realm.claims.extensibleMeasurements[3] ?? 'any',
    implementationId: platform.claims.implementationId,
    instanceId: platform.claims.instanceId,
    platformConfig: platform.claims.config,
  }
  const compared = await appraiseCca(token, { expect: exact, now: NOW, endorsements: keys() })
  assert.equal(compared.status, 'affirming')
  const without = await appraiseCca(token, { expect: ANY_CCA, now: NOW })
  assert.equal(without.status, 'none')
})

test('tokens are recognised raw, in hex, base64 and JSON', WITH_VECTORS, () => {
  const token = vector(TOKEN)
  const forms = [
    token,
    toUtf8(toHex(token)),
    toUtf8(toBase64(token)),
    toUtf8(JSON.stringify({ token: [...token] })),
  ]
  for (const form of forms) assert.equal(toHex(recogniseCcaToken(form)), toHex(token))
  assert.equal(toHex(encodeCbor(parseCbor('token', token))), toHex(token))
  for (const text of ['{"token":[256]}', '{"token":"x"}', '{', '{}', 'zz'])
    assert.throws(() => recogniseCcaToken(toUtf8(text)), FormatError)
})

test('no truncation and no trailing byte is accepted', WITH_VECTORS, async () => {
  const token = vector(TOKEN)
  const endorsements = keys()
  const statusOf = async (bytes: Uint8Array) =>
    (await appraiseCca(bytes, { expect: ANY_CCA, now: NOW, endorsements })).status
  for (let length = 0; length < token.length; length++)
    assert.equal(await statusOf(token.subarray(0, length)), 'contraindicated')
  assert.equal(await statusOf(Uint8Array.of(...token, 0)), 'contraindicated')
})

test(
  'claims and configuration of other verifiers have the shape that the index says',
  WITH_VECTORS,
  () => {
    const json = (name: string) =>
      JSON.parse(new TextDecoder().decode(vector(`cca/trustee/${name}.json`))) as Record<
        string,
        unknown
      >
    // Its challenge is 33 bytes long: an example of names, not of a token.
    const platform = toUtf8(JSON.stringify(json('cca-claims')['platform']))
    assert.equal(
      fields(() => parsePlatformClaimsJson(platform)),
      '10',
    )
    for (const name of ['cca-config-local', 'cca-config-remote'])
      assert.ok('cca-verifier' in json(name))
  },
)

function diagnostic(name: string) {
  return fromDiagnostic(new TextDecoder().decode(vector(`cca/${name}.diag`)))
}

function withoutProfile(item: ReturnType<typeof fromDiagnostic>): typeof item {
  if (item.kind !== 'map') return item
  return { ...item, entries: new Map([...item.entries].filter(([key]) => key !== 265)) }
}
