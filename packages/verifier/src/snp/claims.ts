/** An SNP report's claims in a form that JSON carries without loss: bytes in hex, 64-bit words as `0x…`. */
import { toHex } from '../bytes/hex.ts'
import type { Endorsement } from './endorsement.ts'
import { productLineOf } from './product.ts'
import type { ProcessorId, ProductLine } from './product.ts'
import type { GuestPolicy, PlatformInfo } from './report-flags.ts'
import type { FirmwareVersion, SnpReport } from './report.ts'
import { readTcb } from './tcb.ts'
import type { Tcb } from './tcb.ts'

type Flags<Word> = Omit<Word, 'raw'> & { readonly raw: string }

export interface SnpClaims {
  readonly tee: 'snp'
  /** Null when neither report nor endorsement tells. */
  readonly line: ProductLine | null
  readonly processor: ProcessorId | null
  readonly version: number
  readonly vmpl: number
  readonly guestSvn: number
  readonly policy: Flags<GuestPolicy>
  readonly platformInfo: Flags<PlatformInfo>
  readonly signingKey: string
  readonly authorKeyEnabled: boolean
  readonly measurement: string
  readonly reportData: string
  readonly hostData: string
  readonly familyId: string
  readonly imageId: string
  readonly idKeyDigest: string
  readonly authorKeyDigest: string
  readonly reportId: string
  readonly reportIdMa: string
  readonly chipId: string
  readonly currentTcb: Tcb
  readonly reportedTcb: Tcb
  readonly committedTcb: Tcb
  readonly launchTcb: Tcb
  readonly current: FirmwareVersion
  readonly committed: FirmwareVersion
  /** Null before report version 5. */
  readonly launchMitigationVector: string | null
  readonly currentMitigationVector: string | null
  /** `Milan-B0`, …; from the endorsement, so null before it is verified. */
  readonly productName: string | null
  /** The cloud provider of a VLEK. */
  readonly cspId: string | null
}

/** @param verified - the line and endorsement found by verification; without, TCBs of an unknown line are read as Milan's */
export function snpClaims(
  report: SnpReport,
  verified?: { readonly line: ProductLine; readonly endorsement: Endorsement },
): SnpClaims {
  const line = verified?.line ?? lineByReport(report)
  const tcb = (raw: Uint8Array) => readTcb(raw, line ?? 'Milan')
  const { policy, platformInfo } = report
  return {
    tee: 'snp',
    line: line ?? null,
    processor: report.processor ?? null,
    version: report.version,
    vmpl: report.vmpl,
    guestSvn: report.guestSvn,
    policy: { ...policy, raw: word(policy.raw) },
    platformInfo: { ...platformInfo, raw: word(platformInfo.raw) },
    signingKey: report.keyInfo.signingKey,
    authorKeyEnabled: report.keyInfo.authorKeyEnabled,
    measurement: toHex(report.measurement),
    reportData: toHex(report.reportData),
    hostData: toHex(report.hostData),
    familyId: toHex(report.familyId),
    imageId: toHex(report.imageId),
    idKeyDigest: toHex(report.idKeyDigest),
    authorKeyDigest: toHex(report.authorKeyDigest),
    reportId: toHex(report.reportId),
    reportIdMa: toHex(report.reportIdMa),
    chipId: toHex(report.chipId),
    currentTcb: tcb(report.currentTcb),
    reportedTcb: tcb(report.reportedTcb),
    committedTcb: tcb(report.committedTcb),
    launchTcb: tcb(report.launchTcb),
    current: report.current,
    committed: report.committed,
    launchMitigationVector: optionalWord(report.launchMitigationVector),
    currentMitigationVector: optionalWord(report.currentMitigationVector),
    productName: verified?.endorsement.productName ?? null,
    cspId: verified?.endorsement.cspId ?? null,
  }
}

function lineByReport({ processor }: SnpReport): ProductLine | undefined {
  return processor === undefined ? undefined : productLineOf(processor)
}

function word(value: bigint): string {
  return `0x${value.toString(16)}`
}

function optionalWord(value: bigint | undefined): string | null {
  return value === undefined ? null : word(value)
}
