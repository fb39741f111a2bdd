/** One attestation report of the simulated secure processor, signed by its VCEK (AMD 56860, version 3 of the report). */
import { fromHex } from '@cloister/verifier/bytes/hex'
import { keySigner } from '@cloister/verifier/node/key-signer'
import { encodeCertificateTable, TABLE_GUID } from '@cloister/verifier/snp/certificate-table'
import { signSnpReport } from '@cloister/verifier/snp/endorsement-issue'
import { ECDSA_P384_SHA384, type SnpReport } from '@cloister/verifier/snp/report'
import { readGuestPolicy, readKeyInfo, readPlatformInfo } from '@cloister/verifier/snp/report-flags'
import { encodeTcb } from '@cloister/verifier/snp/tcb'
import type { SimulatedIdentity } from './key-store.ts'
import type { LaunchContext } from './launch-context.ts'
import { PLATFORM } from './platform.ts'

/** What the guest chooses. */
export interface GuestChoice {
  /** 64 bytes, hex. */
  readonly reportData: string
  readonly vmpl: number
}

/** The report and the certificate table of an extended report, base64. */
export function signReport(
  identity: SimulatedIdentity,
  context: LaunchContext,
  choice: GuestChoice,
): { report: string; certificates: string } {
  const report = reportOf(identity, context, choice)
  const { ark, ask, vcek, crl } = identity.chain
  const table = encodeCertificateTable([
    { guid: TABLE_GUID.vcek, data: vcek },
    { guid: TABLE_GUID.ask, data: ask },
    { guid: TABLE_GUID.ark, data: ark },
    { guid: TABLE_GUID.crl, data: crl },
  ])
  return {
    report: base64(signSnpReport(report, keySigner(identity.vcekKey))),
    certificates: base64(table),
  }
}

function reportOf(
  identity: SimulatedIdentity,
  context: LaunchContext,
  choice: GuestChoice,
): SnpReport {
  const tcb = encodeTcb(PLATFORM.tcb, PLATFORM.line)
  return {
    version: 3,
    guestSvn: 0,
    policy: readGuestPolicy(BigInt(`0x${context.policy}`)),
    familyId: new Uint8Array(16),
    imageId: new Uint8Array(16),
    vmpl: choice.vmpl,
    signatureAlgorithm: ECDSA_P384_SHA384,
    currentTcb: tcb,
    platformInfo: readPlatformInfo(PLATFORM.platformInfo),
    // Signed by the VCEK, no author key, chip key not masked.
    keyInfo: readKeyInfo(0),
    reportData: fromHex(choice.reportData),
    measurement: fromHex(context.measurement),
    hostData: fromHex(context.hostData),
    idKeyDigest: new Uint8Array(48),
    authorKeyDigest: new Uint8Array(48),
    reportId: fromHex(context.reportId),
    // No migration agent.
    reportIdMa: new Uint8Array(32).fill(0xff),
    reportedTcb: tcb,
    processor: PLATFORM.processor,
    chipId: identity.chipId,
    committedTcb: tcb,
    current: PLATFORM.firmware,
    committed: PLATFORM.firmware,
    launchTcb: tcb,
    launchMitigationVector: undefined,
    currentMitigationVector: undefined,
    signature: { r: new Uint8Array(72), s: new Uint8Array(72) },
    unknownFields: [],
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
