/**
 * A VM without a TEE, by the quote of the TPM that its host runs. Its attestation key must be certified by this broker, which credential activation
 * comes before. The result is a warning at best: it holds against whoever changes the guest, and against no host.
 */
import type { Check } from '@cloister/verifier/result/check'
import { appraiseTpm } from '@cloister/verifier/tpm/appraise'
import { parseTpmEvidenceJson } from '@cloister/verifier/tpm/evidence-json'
import { readCertifiedMachine } from '@cloister/verifier/tpm/certified-machine'
import { ANY_PCRS } from '@cloister/verifier/tpm/policy'
import type { AttestationAuthority } from '../tpm/attestation-authority.ts'
import type { EvidenceAppraisal } from './appraise-evidence.ts'
import type { TpmClaims, TpmFindings } from './attestation-result.ts'

export interface TpmAppraisalContext {
  readonly attestationAuthority: Pick<AttestationAuthority, 'certificate' | 'fingerprint'>
  /** Fingerprints of the CAs of EK certificates that are pinned now, hex. */
  readonly tpmAnchors: readonly string[]
  /** Milliseconds since 1970. */
  readonly now: number
}

/** A quote carries so much of REPORT_DATA (KBS protocol). */
export const TPM_NONCE_BYTES = 32

/** @throws FormatError when the evidence cannot be read */
export async function appraiseTpmEvidence(
  primaryEvidence: unknown,
  expected: Pick<TpmFindings, 'runtimeData'> & {
    readonly reportData: Uint8Array
    /** What the Attester sent beside its Evidence. */
    readonly initdata?: unknown
  },
  { attestationAuthority, tpmAnchors, now }: TpmAppraisalContext,
): Promise<EvidenceAppraisal> {
  const evidence = parseTpmEvidenceJson(primaryEvidence)
  const appraisal = await appraiseTpm(evidence, {
    now: new Date(now),
    expect: {
      // PCRs are compared at each release, by the policy of the secret.
      ...ANY_PCRS,
      reportData: expected.reportData.subarray(0, TPM_NONCE_BYTES),
      ak: 'any',
    },
    endorsements: { certificates: [attestationAuthority.certificate] },
    policy: {
      trustedRoots: [attestationAuthority.fingerprint],
      // The bank that policies and baselines name; every TPM here keeps it, for the form of the Evidence demands it.
      pcrBank: 'sha256',
    },
  })
  const { checks } = appraisal
  if (appraisal.status === 'none' || appraisal.status === 'contraindicated')
    return { accepted: false, checks }
  const machine = evidence.certificate && readCertifiedMachine(evidence.certificate)
  // INVARIANT: appraised under our own CA, so the certificate is there and ours.
  if (machine === undefined) throw new TypeError('a certificate of our own names a TPM')
  const own: readonly Check[] = [
    outcome('release.tpm.anchor', tpmAnchors.includes(machine.anchor), machine.anchor),
    // Nothing that a TPM says of the initdata is looked at, so none of it may come along as if it were.
    outcome('attestation.initdata-mismatch', expected.initdata === undefined, 'initdata'),
  ]
  if (own.some((check) => check.outcome === 'fail'))
    return { accepted: false, checks: [...checks, ...own] }
  const { claims } = appraisal
  const tpm: TpmClaims = {
    level: 'host-vtpm',
    ak: claims.ak,
    endorsement_key: machine.endorsementKey,
    endorsement_anchor: machine.anchor,
    bank: claims.bank,
    pcrs: { ...claims.pcrs },
    secure_boot: claims.boot?.secureBoot?.enabled ?? null,
    reset_count: claims.clock.resetCount,
    restart_count: claims.clock.restartCount,
    clock_safe: claims.clock.safe,
  }
  return {
    accepted: true,
    result: {
      anchors: 'tpm',
      appraisal: 'warning',
      claims: tpm,
      reportData: claims.reportData,
      runtimeData: expected.runtimeData,
    },
    degraded: true,
    initdataClaims: null,
    checks: [...checks, ...own],
  }
}

function outcome(code: string, holds: boolean, received: string): Check {
  return { code, outcome: holds ? 'pass' : 'fail', received }
}
