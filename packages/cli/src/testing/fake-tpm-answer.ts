/** An agent's answer by a fake TPM whose key a fake broker has certified, for tests. */
import { generateKeyPairSync } from 'node:crypto'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { verifyReportData } from '@cloister/protocol/report-data'
import { replayLog } from '@cloister/verifier/eventlog/replay'
import { parseTcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { encodePem } from '@cloister/verifier/formats/pem'
import { issueCertificate } from '@cloister/verifier/formats/x509-issue'
import {
  basicConstraintsExtension,
  KEY_USAGE,
  keyUsageExtension,
} from '@cloister/verifier/formats/x509-extensions'
import { NAME_OID, type NameAttribute } from '@cloister/verifier/formats/x509-name'
import { keySigner, spkiOf } from '@cloister/verifier/node/key-signer'
import { FakeTpm } from '@cloister/verifier/testing/fake-tpm'
import { machineSubject } from '@cloister/verifier/tpm/certified-machine'
import { encodeTpmEvidenceJson } from '@cloister/verifier/tpm/evidence-json'
import { encodeTpmSignature } from '@cloister/verifier/tpm/signature'
import type { TpmReferences } from '../owner/vm-evidence.ts'

export const FAKE_TPM = new FakeTpm()
export const FAKE_TPM_MACHINE = { endorsementKey: 'e1'.repeat(32), anchor: 'ca'.repeat(32) }

const PCRS = 24
const { privateKey: brokerKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const NAME = [{ oid: NAME_OID.commonName, value: 'FAKE broker' }]
const [agentKey, channelKey] = [1, 2].map(() =>
  spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey),
) as [Uint8Array, Uint8Array]

/** @param ends - year in which it expires */
export function issueByFakeBroker(
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

export const FAKE_TPM_REFERENCES: TpmReferences = {
  attestationAuthority: encodePem('CERTIFICATE', issueByFakeBroker(NAME, spkiOf(brokerKey), true)),
  tpmAnchors: [FAKE_TPM_MACHINE.anchor],
}

export interface FakeTpmAnswer {
  /** The event log whose registers the TPM has. */
  readonly quotedLog: Uint8Array
  /** The event log that the agent gives. */
  readonly givenLog: Uint8Array
  /** What the quote is made over. */
  readonly nonce: Uint8Array
  /** Of the TPM's key. Absent: one of the fake broker's; null: none. */
  readonly certificate?: Uint8Array | null
}

export async function fakeTpmAnswer({
  quotedLog,
  givenLog,
  nonce,
  certificate = issueByFakeBroker(machineSubject(FAKE_TPM_MACHINE), FAKE_TPM.spki, false),
}: FakeTpmAnswer): Promise<EvidenceAnswer> {
  const replayed = await replayLog(parseTcgLog(quotedLog), 'sha256')
  const values = Array.from(
    { length: PCRS },
    (_, index) => replayed.get(index) ?? new Uint8Array(32),
  )
  const extraData = verifyReportData(nonce, agentKey, channelKey).subarray(0, 32)
  const { message, signature } = FAKE_TPM.quote(new Map(values.entries()), { extraData })
  const json = encodeTpmEvidenceJson({
    ak: FAKE_TPM.spki,
    publicArea: FAKE_TPM.publicArea(),
    quote: { hash: 'sha256', message, signature: encodeTpmSignature(signature), values },
    otherQuotes: [],
    eventLog: givenLog,
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
