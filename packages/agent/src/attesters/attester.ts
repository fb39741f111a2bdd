/** How the guest proves itself. One file for each way; the table picks by the measured command line. */
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { fromExtendedReport, type SnpEvidence } from '@cloister/verifier/snp/evidence'
import { encodeSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { parseSnpReport, type SnpReport } from '@cloister/verifier/snp/report'

export interface RawReport {
  /** 1184 bytes. */
  readonly report: Uint8Array
  /** Certificate table of the extended report; empty when the host gave none. */
  readonly certificates: Uint8Array
}

/** Asks the secure processor, or what plays its part, for a report over 64 bytes at VMPL 0. */
export type ReportSource = (reportData: Uint8Array) => Promise<RawReport>

export interface Evidence {
  /** The KBS protocol's form for the TEE. @throws (its getter) CloisterError `agent.report-failed` */
  readonly json: string
}

export interface Attester {
  /** The TEE as the KBS protocol names it. */
  readonly tee: 'snp' | 'tdx' | 'tpm'
  /**
   * @param reportData - 64 bytes; composed by us only, never what others chose
   * @throws CloisterError `agent.report-failed`, `agent.tpm-*`
   */
  attest(reportData: Uint8Array): Promise<Evidence>
}

export interface MeasuredEvidence extends Evidence {
  /** What the host fixed at launch: HOST_DATA, 32 bytes, or MRCONFIGID, 48. */
  readonly hostData: Uint8Array
}

/** Of a TEE that holds what the host fixed at launch: initdata can be bound to it. */
export interface MeasuredAttester extends Attester {
  attest(reportData: Uint8Array): Promise<MeasuredEvidence>
}

/** An attester over a source of SNP reports. It answers one call after the other. */
export function snpAttester(source: ReportSource): MeasuredAttester {
  let last: Promise<unknown> = Promise.resolve()
  return {
    tee: 'snp',
    attest(reportData) {
      const answer = last.then(
        () => attestOnce(source, reportData),
        () => attestOnce(source, reportData),
      )
      last = answer
      return answer
    },
  }
}

async function attestOnce(source: ReportSource, reportData: Uint8Array): Promise<MeasuredEvidence> {
  const { report: bytes, certificates } = await source(reportData)
  try {
    const report = parseSnpReport(bytes)
    checkIsAnswer(report, reportData)
    const evidence = fromExtendedReport(bytes, certificates)
    return {
      hostData: report.hostData,
      // When it is asked for: of a guest's first report nobody does.
      get json() {
        return evidenceJson(evidence)
      },
    }
  } catch (cause) {
    throw reportError(cause)
  }
}

function evidenceJson(evidence: SnpEvidence): string {
  try {
    return JSON.stringify(encodeSnpEvidenceJson(evidence))
  } catch (cause) {
    throw reportError(cause)
  }
}

function reportError(cause: unknown): unknown {
  if (!(cause instanceof FormatError)) return cause
  return new CloisterError('agent.report-failed', { why: cause.message, cause })
}

/** The Verifier decides what a report is worth; here only whether it answers our question. */
function checkIsAnswer(report: SnpReport, reportData: Uint8Array): void {
  if (Buffer.compare(report.reportData, reportData) !== 0)
    throw new CloisterError('agent.report-failed', { why: 'the report is over other bytes' })
  if (report.vmpl !== 0)
    throw new CloisterError('agent.report-failed', { why: `the report is of VMPL ${report.vmpl}` })
}
