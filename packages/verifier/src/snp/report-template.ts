/** A report of a newly launched guest, to be filled in: by the simulated secure processor and by tests. */
import { productLineOf } from './product.ts'
import type { ProcessorId } from './product.ts'
import { readGuestPolicy, readKeyInfo, readPlatformInfo } from './report-flags.ts'
import { ECDSA_P384_SHA384 } from './report.ts'
import type { FirmwareVersion, SnpReport } from './report.ts'
import { encodeTcb } from './tcb.ts'
import type { Tcb } from './tcb.ts'

export interface ReportTemplate {
  readonly processor: ProcessorId
  readonly tcb: Tcb
  readonly firmware: FirmwareVersion
  /** 64 bytes; on Turin only the first 8 are not zero. */
  readonly chipId: Uint8Array
  /** 48 bytes. */
  readonly measurement: Uint8Array
  /** 64 bytes. */
  readonly reportData: Uint8Array
  /** 32 bytes; absent means zero. */
  readonly hostData?: Uint8Array
  /** 32 bytes that name this guest's launch; absent means zero. */
  readonly reportId?: Uint8Array
  /** Guest policy; absent means 0x30000: SMT allowed, no debug, no migration. */
  readonly policy?: bigint
  /** PLATFORM_INFO; absent means 0x25: SMT, ECC, alias check complete. */
  readonly platformInfo?: bigint
  readonly vmpl?: number
  readonly guestSvn?: number
  /** `vcek` when absent. */
  readonly signingKey?: 'vcek' | 'vlek'
}

/**
 * A version 5 report, unsigned: give it to `signSnpReport`.
 *
 * @throws RangeError for a processor of no known line
 */
export function newSnpReport(template: ReportTemplate): SnpReport {
  const { processor, firmware } = template
  const line = productLineOf(processor)
  if (line === undefined) throw new RangeError('the processor belongs to no known product line')
  const tcb = encodeTcb(template.tcb, line)
  const zeros = (length: number) => new Uint8Array(length)
  return {
    version: 5,
    guestSvn: template.guestSvn ?? 0,
    policy: readGuestPolicy(template.policy ?? 0x30000n),
    familyId: zeros(16),
    imageId: zeros(16),
    vmpl: template.vmpl ?? 0,
    signatureAlgorithm: ECDSA_P384_SHA384,
    currentTcb: tcb,
    platformInfo: readPlatformInfo(template.platformInfo ?? 0x25n),
    keyInfo: readKeyInfo(template.signingKey === 'vlek' ? 1 << 2 : 0),
    reportData: template.reportData,
    measurement: template.measurement,
    hostData: template.hostData ?? zeros(32),
    idKeyDigest: zeros(48),
    authorKeyDigest: zeros(48),
    reportId: template.reportId ?? zeros(32),
    reportIdMa: zeros(32).fill(0xff),
    reportedTcb: tcb,
    processor,
    chipId: template.chipId,
    committedTcb: tcb,
    current: firmware,
    committed: firmware,
    launchTcb: tcb,
    launchMitigationVector: 0n,
    currentMitigationVector: 0n,
    signature: { r: zeros(72), s: zeros(72) },
    unknownFields: [],
  }
}
