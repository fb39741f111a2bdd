import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { encodePem } from '@cloister/verifier/formats/pem'
import { issueCertificate } from '@cloister/verifier/formats/x509-issue'
import {
  basicConstraintsExtension,
  KEY_USAGE,
  keyUsageExtension,
} from '@cloister/verifier/formats/x509-extensions'
import { NAME_OID, type NameAttribute } from '@cloister/verifier/formats/x509-name'
import { keySigner, spkiOf } from '@cloister/verifier/node/key-signer'
import { FakeTpm, fakeLog, goodBoot } from '@cloister/verifier/testing/fake-tpm'
import { replayLog } from '@cloister/verifier/eventlog/replay'
import { machineSubject } from '@cloister/verifier/tpm/certified-machine'
import { encodeTpmEvidenceJson } from '@cloister/verifier/tpm/evidence-json'
import { encodeTpmSignature } from '@cloister/verifier/tpm/signature'
import { verifyReportData } from '@cloister/protocol/report-data'
import { computeTpmTrust, type TpmReferences } from './vm-evidence.ts'
import { tpmClaims } from '../vm/vm-claims.ts'

const NOW = new Date('2026-11-25T00:00:00Z')
const NONCE = new Uint8Array(32).fill(7)
const MACHINE = { endorsementKey: 'e1'.repeat(32), anchor: 'ca'.repeat(32) }
const TPM = new FakeTpm()
const { privateKey: brokerKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const NAME = [{ oid: NAME_OID.commonName, value: 'FAKE broker' }]
const [agentKey, channelKey] = [1, 2].map(() =>
  spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey),
) as [Uint8Array, Uint8Array]

function issue(
  subject: readonly NameAttribute[],
  spki: Uint8Array,
  isAuthority: boolean,
  ends = 2027,
) {
  const extensions = [
    basicConstraintsExtension(isAuthority),
    keyUsageExtension(isAuthority ? KEY_USAGE.keyCertSign : KEY_USAGE.digitalSignature),
  ]
  const dates = { notBefore: new Date('2026-01-01'), notAfter: new Date(`${ends}-01-01`) }
  const template = { serial: 1, issuer: NAME, subject, spki, extensions, ...dates }
  return issueCertificate(template, keySigner(brokerKey))
}

const AUTHORITY = issue(NAME, spkiOf(brokerKey), true)
const REFERENCES: TpmReferences = {
  attestationAuthority: encodePem('CERTIFICATE', AUTHORITY),
  tpmAnchors: [MACHINE.anchor],
}

async function answer({
  certificate = issue(machineSubject(MACHINE), TPM.spki, false),
  nonce = NONCE,
}: { certificate?: Uint8Array | null; nonce?: Uint8Array } = {}) {
  const events = goodBoot()
  const replayed = await replayLog({ events }, 'sha256')
  const values = Array.from({ length: 24 }, (_, index) => replayed.get(index) ?? new Uint8Array(32))
  const extraData = verifyReportData(nonce, agentKey, channelKey).subarray(0, 32)
  const { message, signature } = TPM.quote(new Map(values.entries()), { extraData })
  const json = encodeTpmEvidenceJson({
    ak: TPM.spki,
    publicArea: TPM.publicArea(),
    quote: { hash: 'sha256', message, signature: encodeTpmSignature(signature), values },
    otherQuotes: [],
    eventLog: fakeLog(events),
    ...(certificate !== null && { certificate }),
  })
  return {
    tee: 'tpm',
    evidenceJson: JSON.stringify(json),
    agentKey: Buffer.from(agentKey).toString('base64'),
    channelKey: Buffer.from(channelKey).toString('base64'),
    initdata: '',
  }
}

test('a TPM that everything vouches for is degraded, and its claims stand on the host', async () => {
  const verdict = await computeTpmTrust(await answer(), NONCE, REFERENCES, NOW)
  assert.equal(verdict.trust, 'degraded')
  assert.deepEqual(verdict.machine, MACHINE)
  const claims = tpmClaims(verdict.claims!, verdict.machine)
  assert.deepEqual(new Set(claims.map(({ behind }) => behind)), new Set(['host-vtpm']))
  assert.equal(claims.find(({ claim }) => claim === 'Secure Boot')?.value, 'on')
})

test('what does not hold is failed, and what nobody vouches for unattested', async () => {
  const failed = (code: string) => (verdict: Awaited<ReturnType<typeof computeTpmTrust>>) => {
    assert.equal(verdict.trust, 'failed')
    assert.ok(verdict.checks.some((check) => check.code === code && check.outcome === 'fail'))
    assert.equal(verdict.claims, undefined)
  }
  const nonce = new Uint8Array(32).fill(8)
  failed('tpm.nonce.mismatch')(
    await computeTpmTrust(await answer({ nonce }), NONCE, REFERENCES, NOW),
  )
  const unpinned = { ...REFERENCES, tpmAnchors: [] }
  failed('release.tpm.anchor')(await computeTpmTrust(await answer(), NONCE, unpinned, NOW))
  const malformed = { ...(await answer()), evidenceJson: '{' }
  failed('evidence.malformed')(await computeTpmTrust(malformed, NONCE, REFERENCES, NOW))
  const bare = await computeTpmTrust(await answer({ certificate: null }), NONCE, REFERENCES, NOW)
  assert.equal(bare.trust, 'unattested')
  const foreign = await computeTpmTrust(
    await answer({ certificate: TPM.certificate() }),
    NONCE,
    REFERENCES,
    NOW,
  )
  assert.equal(foreign.trust, 'unattested')
  const ended = issue(machineSubject(MACHINE), TPM.spki, false, 2026)
  const late = await computeTpmTrust(await answer({ certificate: ended }), NONCE, REFERENCES, NOW)
  assert.equal(late.trust, 'stale')
})
