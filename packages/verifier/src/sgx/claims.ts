/** An enclave's claims in a form that JSON carries without loss: bytes in hex. */
import { toHex } from '../bytes/hex.ts'
import type { DcapTcb } from '../dcap/appraise-tcb.ts'
import type { EnclaveReport } from '../dcap/enclave-report.ts'
import type { Quote } from '../dcap/quote.ts'
import type { VerifiedQuote } from '../dcap/verify.ts'

export interface SgxClaims {
  readonly tee: 'sgx'
  readonly quoteVersion: number
  readonly cpuSvn: string
  readonly miscSelect: string
  readonly attributes: string
  readonly mrEnclave: string
  readonly mrSigner: string
  readonly isvProdId: number
  readonly isvSvn: number
  readonly isvFamilyId: string
  readonly isvExtProdId: string
  readonly configId: string
  readonly configSvn: number
  readonly reportData: string
  /** Null before verification. */
  readonly fmspc: string | null
  readonly ppid: string | null
  /** Of the Platform CA's certificates: the machine, whatever its TCB. */
  readonly platformInstanceId: string | null
  readonly tcb: DcapTcb | null
}

export function sgxClaims(
  quote: Quote,
  report: EnclaveReport,
  verified?: VerifiedQuote,
): SgxClaims {
  return {
    tee: 'sgx',
    quoteVersion: quote.version,
    cpuSvn: toHex(report.cpuSvn),
    miscSelect: toHex(report.miscSelect),
    attributes: toHex(report.attributes),
    mrEnclave: toHex(report.mrEnclave),
    mrSigner: toHex(report.mrSigner),
    isvProdId: report.isvProdId,
    isvSvn: report.isvSvn,
    isvFamilyId: toHex(report.isvFamilyId),
    isvExtProdId: toHex(report.isvExtProdId),
    configId: toHex(report.configId),
    configSvn: report.configSvn,
    reportData: toHex(report.reportData),
    fmspc: verified?.pck.fmspc ?? null,
    ppid: verified === undefined ? null : toHex(verified.pck.ppid),
    platformInstanceId:
      verified?.pck.platformInstanceId === undefined
        ? null
        : toHex(verified.pck.platformInstanceId),
    tcb: verified?.tcb ?? null,
  }
}
