/**
 * The trust state of a VM by the Evidence of its TPM, as its owner computes it. A TPM without a TEE is software of the host, so the best that it can
 * give is `degraded`: it shows what booted to everybody but the host.
 */
import { createHash, X509Certificate } from 'node:crypto'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { verifyReportData } from '@cloister/protocol/report-data'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { appraiseTpm, type TpmAppraisal } from '@cloister/verifier/tpm/appraise'
import {
  readCertifiedMachine,
  type CertifiedMachine,
} from '@cloister/verifier/tpm/certified-machine'
import type { TpmClaims } from '@cloister/verifier/tpm/claims'
import { parseTpmEvidenceJson } from '@cloister/verifier/tpm/evidence-json'
import type { TpmEvidence } from '@cloister/verifier/tpm/evidence'
import { ANY_PCRS } from '@cloister/verifier/tpm/policy'
import type { TrustCheck } from './trust-check.ts'
import type { TrustState } from './trust-state.ts'

export interface TpmReferences {
  /** CA under which the owner's broker certifies attestation keys, PEM. */
  readonly attestationAuthority: string
  /** Fingerprints of the CAs of EK certificates that the owner has pinned now. */
  readonly tpmAnchors: readonly string[]
}

export interface TpmVerdict {
  readonly trust: TrustState
  readonly checks: readonly TrustCheck[]
  /** Of evidence that holds; absent otherwise. */
  readonly claims?: TpmClaims
  /** Which TPM it is; only where the owner's broker has certified its key. */
  readonly machine?: CertifiedMachine
}

/** A quote carries so much of REPORT_DATA (KBS protocol). */
const NONCE_BYTES = 32
const MALFORMED: TrustCheck = { code: 'evidence.malformed', outcome: 'fail' }

/** @param nonce - the one that the evidence was asked with, 16 to 64 bytes */
export async function computeTpmTrust(
  answer: EvidenceAnswer,
  nonce: Uint8Array,
  { attestationAuthority, tpmAnchors }: TpmReferences,
  now: Date,
): Promise<TpmVerdict> {
  const evidence = readEvidence(answer)
  if (evidence === undefined) return { trust: 'failed', checks: [MALFORMED] }
  const authority = new X509Certificate(attestationAuthority).raw
  const [agentKey, channelKey] = [answer.agentKey, answer.channelKey].map((text) =>
    Buffer.from(text, 'base64'),
  ) as [Buffer, Buffer]
  const appraisal = await appraiseTpm(evidence, {
    now,
    expect: {
      // What should have booted is a baseline's to say: `cloister vm integrity`.
      ...ANY_PCRS,
      ak: 'any',
      reportData: verifyReportData(nonce, agentKey, channelKey).subarray(0, NONCE_BYTES),
    },
    endorsements: { certificates: [authority] },
    policy: {
      trustedRoots: [createHash('sha256').update(authority).digest('hex')],
      pcrBank: 'sha256',
    },
  })
  if (appraisal.status === 'none' || appraisal.status === 'contraindicated')
    return { trust: stateOf(appraisal), checks: appraisal.checks }
  const machine = machineOf(evidence)
  const pinned: TrustCheck = {
    code: 'release.tpm.anchor',
    outcome: tpmAnchors.includes(machine?.anchor ?? '') ? 'pass' : 'fail',
    ...(machine !== undefined && { received: machine.anchor }),
  }
  const checks = [...appraisal.checks, pinned]
  if (pinned.outcome === 'fail') return { trust: 'failed', checks }
  return {
    // INVARIANT: never better, whatever was found.
    trust: 'degraded',
    checks,
    claims: appraisal.claims,
    ...(machine !== undefined && { machine }),
  }
}

function readEvidence({ evidenceJson }: EvidenceAnswer): TpmEvidence | undefined {
  try {
    return parseTpmEvidenceJson(JSON.parse(evidenceJson))
  } catch (error) {
    if (error instanceof FormatError || error instanceof SyntaxError) return undefined
    throw error
  }
}

function machineOf({ certificate }: TpmEvidence): CertifiedMachine | undefined {
  return certificate === undefined ? undefined : readCertifiedMachine(certificate)
}

function stateOf({ status, reasons }: TpmAppraisal & { status: 'none' | 'contraindicated' }) {
  if (status === 'contraindicated') return 'failed'
  // Certificates that were good once.
  return reasons.every((code) => code.endsWith('.expired')) ? 'stale' : 'unattested'
}
