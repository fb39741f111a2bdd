import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromUtf8 } from '../bytes/text.ts'
import { equalBytes } from '../bytes/equal.ts'
import { toHex } from '../bytes/hex.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { appraise } from '../appraisal/appraise.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import type { TpmAppraisal, TpmAppraiseOptions } from './appraise.ts'
import { encodeTpmAttest, parseTpmAttest } from './attest.ts'
import { findTpmChain, gceInstance, leafProblem } from './certificate.ts'
import { ANY_PCRS, GCE_TPM_ROOTS } from './policy.ts'
import type { TpmExpect } from './policy.ts'
import { tpmName } from './public-area.ts'
import { recogniseTpmEvidence } from './recognise.ts'

const GCE = 'tpm/attestations/gce-cos-85-nonce9009.pb'
const KBS = 'tpm/tpm_evidence.json'
const CAS = 'tpm/ca-certs'
const NOW = new Date('2026-06-01T00:00:00Z')
const ANY: TpmExpect = { ...ANY_PCRS, reportData: 'any', ak: 'any' }

function run(path: string, options: Partial<TpmAppraiseOptions> = {}): Promise<TpmAppraisal> {
  return appraise(vector(path), { tee: 'tpm', expect: ANY, now: NOW, ...options })
}

function reasonsOf(result: TpmAppraisal): readonly string[] {
  return result.status === 'affirming' ? [] : result.reasons
}

const issuers = (...files: readonly string[]) => ({
  certificates: files.map((file) => vector(`${CAS}/${file}`)),
})
const GOOGLE = issuers('tpm_ek_intermediate_2.crt', 'tpm_ek_root_1.cer')
const trusted = { trustedRoots: GCE_TPM_ROOTS }

test('the quotes of a GCE machine, its key certified by Google', WITH_VECTORS, async () => {
  const result = await run(GCE, {
    expect: { ...ANY, reportData: '9009' },
    endorsements: GOOGLE,
    policy: trusted,
  })
  // PCR 10 is extended by the kernel, which the firmware's log does not tell.
  assert.deepEqual(reasonsOf(result), ['event-log.unexplained'])
  assert.equal(result.status, 'warning')
  assert.deepEqual(result.anchor, { kind: 'configured', fingerprint: GCE_TPM_ROOTS[0] })
  assert.equal(result.claims.bank, 'sha384')
  const unexplained = result.checks.filter(({ code }) => code === 'event-log.unexplained')
  assert.deepEqual(
    unexplained.map(({ where }) => where),
    ['register 10'],
  )
  const sha256 = await run(GCE, { policy: { pcrBank: 'sha256' } })
  assert.equal(sha256.status === 'warning' && sha256.claims.bank, 'sha256')
})

test('another nonce is refused', WITH_VECTORS, async () => {
  for (const reportData of ['9008', '900900', '', '00'.repeat(32)]) {
    const result = await run(GCE, { expect: { ...ANY, reportData } })
    assert.equal(result.status, 'contraindicated')
    assert.deepEqual(reasonsOf(result), ['tpm.nonce.mismatch'])
  }
})

test('the chain of the key leads through its own intermediate only', WITH_VECTORS, async () => {
  const result = await run(GCE, {
    endorsements: issuers('tpm_ek_intermediate_3.crt', 'tpm_ek_root_1.cer'),
    policy: trusted,
  })
  assert.equal(result.status, 'none')
  assert.deepEqual(reasonsOf(result), ['tpm.ak.untrusted-root'])
})

test('fields of the message and its key', WITH_VECTORS, async () => {
  const { quotes, publicArea } = recogniseTpmEvidence(vector(GCE))
  const file = fromUtf8('json', 'text', vector('tpm/attestations/expected.json'))
  const expected = (
    JSON.parse(file) as Record<
      string,
      { akName: string; quotes: { attest: { pcrDigest: string; clock: number } }[] }
    >
  )['gce-cos-85-nonce9009.pb']
  assert.ok(publicArea && expected)
  assert.equal(toHex(await tpmName(publicArea)), expected.akName)
  assert.equal(publicArea.attributes, 0x5_0072)
  for (const [index, { message }] of quotes.entries()) {
    const attest = parseTpmAttest(message)
    assert.equal(toHex(attest.pcrDigest), expected.quotes[index]?.attest.pcrDigest)
    assert.equal(Number(attest.clock), expected.quotes[index]?.attest.clock)
    assert.ok(equalBytes(encodeTpmAttest(attest), message))
  }
})

test('EK and AK certificates of GCE are valid, each for its use', WITH_VECTORS, async () => {
  const candidates = toDer(
    issuers('gcp_ek_ak_ca_intermediate_v3.crt', 'gcp_ek_ak_ca_root.crt').certificates,
  ).map((der) => parseCertificate(der))
  for (const kind of ['ecc', 'rsa'])
    for (const [file, use, other] of [
      [`pca_tpm_${kind}_sign_cert.pem`, 'ak', 'ek'],
      [`pca_tpm_${kind}_enc_cert.pem`, 'ek', 'ak'],
    ] as const) {
      const [der = new Uint8Array()] = toDer([vector(`tpm/certificates/${file}`)])
      const leaf = parseCertificate(der)
      assert.equal(leafProblem(leaf, use), undefined, file)
      assert.notEqual(leafProblem(leaf, other), undefined, file)
      const chain = await findTpmChain(leaf, candidates, GCE_TPM_ROOTS)
      assert.equal(chain?.length, 3, file)
      const instance = gceInstance(leaf)
      assert.equal(instance?.zone, 'us-central1-a')
      assert.equal(instance.projectId, 'google.com:wuale-gcp-testing')
      assert.equal(instance.instanceName, 'cs-debug-pca')
    }
})

test(
  'KBS evidence: accepted while no nonce is expected, refused with any',
  WITH_VECTORS,
  async () => {
    const accepted = await run(KBS)
    assert.equal(accepted.status, 'warning')
    assert.deepEqual(reasonsOf(accepted), ['tpm.ak.not-certified'])
    assert.deepEqual(accepted.anchor, { kind: 'none' })
    assert.equal(accepted.claims.pcrs.pcr8, '00'.repeat(32))
    const quoted = accepted.claims.reportData
    assert.ok(quoted.startsWith('a04182b506878d4f') && quoted.length === 128)
    for (const reportData of [quoted, quoted.slice(0, 64), '00'.repeat(32)]) {
      const refused = await run(KBS, { expect: { ...ANY, reportData } })
      assert.equal(refused.status, 'contraindicated')
      assert.ok(reasonsOf(refused).includes('tpm.nonce.size'))
    }
  },
)

test('a key that the caller names is enough; another is refused', WITH_VECTORS, async () => {
  const any = await run(KBS)
  assert.equal(any.status, 'warning')
  const named = await run(KBS, { expect: { ...ANY, ak: any.claims.ak } })
  assert.equal(named.status, 'affirming', JSON.stringify(reasonsOf(named)))
  assert.deepEqual(named.anchor, { kind: 'configured', fingerprint: any.claims.ak })
  const other = await run(KBS, { expect: { ...ANY, ak: '00'.repeat(32) } })
  assert.deepEqual(reasonsOf(other), ['tpm.ak.mismatch'])
  assert.equal(other.status, 'contraindicated')
})
