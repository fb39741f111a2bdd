/** The verified claims of a report under the names that tokens use. */
import type { MinimumTcb } from '@cloister/protocol/broker-admin-api'
import type { Anchor } from '@cloister/verifier/result/appraisal'
import type { SnpClaims as VerifiedClaims } from '@cloister/verifier/snp/claims'
import type { SnpClaims } from './attestation-result.ts'

const NO_MIGRATION_AGENT = 'f'.repeat(64)

/** @throws TypeError when the verifier affirmed a report of no known line, which would be its defect */
export function snpClaimsForToken(claims: VerifiedClaims, anchor: Anchor): SnpClaims {
  const { policy, platformInfo, reportedTcb, line } = claims
  if (line === null) throw new TypeError('a verified report belongs to no line of processors')
  return {
    policy_abi_major: policy.abiMajor,
    policy_abi_minor: policy.abiMinor,
    policy_smt_allowed: policy.smtAllowed,
    policy_migrate_ma: policy.migrationAgentAllowed,
    policy_debug_allowed: policy.debugAllowed,
    policy_single_socket: policy.singleSocket,
    reported_tcb_bootloader: reportedTcb.bootloader,
    reported_tcb_tee: reportedTcb.tee,
    reported_tcb_snp: reportedTcb.snp,
    reported_tcb_microcode: reportedTcb.microcode,
    platform_tsme_enabled: platformInfo.tsmeEnabled,
    platform_smt_enabled: platformInfo.smtEnabled,
    measurement: claims.measurement,
    chip_id: claims.chipId,
    policy_cxl_allowed: policy.cxlAllowed,
    migration_agent: claims.reportIdMa !== NO_MIGRATION_AGENT,
    vmpl: claims.vmpl,
    processor: line,
    processor_id: claims.processor,
    reported_tcb: tcb(reportedTcb),
    committed_tcb: tcb(claims.committedTcb),
    launch_tcb: tcb(claims.launchTcb),
    ...(anchor.kind === 'simulated' && { simulated_root: anchor.fingerprint }),
  }
}

function tcb({ fmc, bootloader, tee, snp, microcode }: VerifiedClaims['reportedTcb']): MinimumTcb {
  return { bootloader, tee, snp, microcode, ...(fmc !== null && { fmc }) }
}
