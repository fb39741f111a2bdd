/** A TD's claims in a form that JSON carries without loss: bytes in hex. */
import { toHex } from '../bytes/hex.ts'
import type { DcapTcb } from '../dcap/appraise-tcb.ts'
import type { Quote } from '../dcap/quote.ts'
import type { TdReport } from '../dcap/td-report.ts'
import type { VerifiedQuote } from '../dcap/verify.ts'
import { readTdAttributes } from './td-attributes.ts'
import type { TdAttributes } from './td-attributes.ts'

export interface TdxClaims {
  readonly tee: 'tdx'
  readonly quoteVersion: number
  readonly attributes: TdAttributes
  readonly xfam: string
  readonly teeTcbSvn: string
  readonly mrSeam: string
  readonly mrSignerSeam: string
  readonly mrTd: string
  readonly mrConfigId: string
  readonly mrOwner: string
  readonly mrOwnerConfig: string
  readonly rtmr0: string
  readonly rtmr1: string
  readonly rtmr2: string
  readonly rtmr3: string
  readonly reportData: string
  /** TDX 1.5, else null. */
  readonly teeTcbSvn2: string | null
  readonly mrServiceTd: string | null
  /** Null before verification. */
  readonly fmspc: string | null
  readonly ppid: string | null
  /** Of the Platform CA's certificates: the machine, whatever its TCB. */
  readonly platformInstanceId: string | null
  readonly tcb: DcapTcb | null
}

export function tdxClaims(quote: Quote, report: TdReport, verified?: VerifiedQuote): TdxClaims {
  const optional = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : toHex(bytes))
  return {
    tee: 'tdx',
    quoteVersion: quote.version,
    attributes: readTdAttributes(report.tdAttributes),
    xfam: toHex(report.xfam),
    teeTcbSvn: toHex(report.teeTcbSvn),
    mrSeam: toHex(report.mrSeam),
    mrSignerSeam: toHex(report.mrSignerSeam),
    mrTd: toHex(report.mrTd),
    mrConfigId: toHex(report.mrConfigId),
    mrOwner: toHex(report.mrOwner),
    mrOwnerConfig: toHex(report.mrOwnerConfig),
    rtmr0: toHex(report.rtmr0),
    rtmr1: toHex(report.rtmr1),
    rtmr2: toHex(report.rtmr2),
    rtmr3: toHex(report.rtmr3),
    reportData: toHex(report.reportData),
    teeTcbSvn2: optional(report.teeTcbSvn2),
    mrServiceTd: optional(report.mrServiceTd),
    fmspc: verified?.pck.fmspc ?? null,
    ppid: optional(verified?.pck.ppid),
    platformInstanceId: optional(verified?.pck.platformInstanceId),
    tcb: verified?.tcb ?? null,
  }
}
