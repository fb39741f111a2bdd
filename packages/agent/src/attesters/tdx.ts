/** Evidence of a TD: the quote that the kernel has made for it, and the event log that explains its RTMRs. */
import { readFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseQuote } from '@cloister/verifier/dcap/quote'
import type { MeasuredAttester } from './attester.ts'
import { CONFIGFS_TSM, tsmReport } from './configfs-tsm.ts'

/** The log area of ACPI's CCEL table. */
const EVENT_LOG_FILE = '/sys/firmware/acpi/tables/data/CCEL'

/** Has a quote made over 64 bytes. @throws CloisterError `agent.report-failed` */
export type QuoteSource = (reportData: Uint8Array) => Promise<Uint8Array>

export function configfsQuotes(directory = CONFIGFS_TSM): QuoteSource {
  return async (reportData) => (await tsmReport(reportData, 'tdx_guest', directory)).report
}

/** What the initdata is bound to is MRCONFIGID, 48 bytes. It answers one call after the other. */
export function tdxAttester(
  source: QuoteSource = configfsQuotes(),
  eventLogFile: string = EVENT_LOG_FILE,
): MeasuredAttester {
  const attest = async (reportData: Uint8Array) => {
    const quote = await source(reportData)
    const hostData = checkedConfigId(quote, reportData)
    // Firmware without a log is a matter for who appraises.
    const log = await readFile(eventLogFile).catch(() => undefined)
    const json = {
      cc_eventlog: log?.toString('base64') ?? null,
      quote: Buffer.from(quote).toString('base64'),
    }
    return { json: JSON.stringify(json), hostData }
  }
  let last: Promise<unknown> = Promise.resolve()
  return {
    tee: 'tdx',
    attest(reportData) {
      const answer = last.then(
        () => attest(reportData),
        () => attest(reportData),
      )
      last = answer
      return answer
    },
  }
}

/** The Verifier decides what a quote is worth; here only whether it answers our question. */
function checkedConfigId(bytes: Uint8Array, reportData: Uint8Array): Uint8Array {
  const { body } = parsed(bytes)
  if (body.kind !== 'tdx')
    throw new CloisterError('agent.report-failed', { why: 'the quote is of no TD' })
  if (Buffer.compare(body.report.reportData, reportData) !== 0)
    throw new CloisterError('agent.report-failed', { why: 'the quote is over other bytes' })
  return body.report.mrConfigId
}

function parsed(bytes: Uint8Array) {
  try {
    return parseQuote(bytes)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('agent.report-failed', { why: cause.message, cause })
  }
}
