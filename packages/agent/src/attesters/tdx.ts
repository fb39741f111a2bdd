/** Evidence of a TD: the quote that configfs-tsm gives, and the event log that explains its RTMRs. */
import { readFile } from 'node:fs/promises'
import { CONFIGFS_TSM, tsmReport } from './configfs-tsm.ts'
import type { Attester } from './attester.ts'

/** The log area of ACPI's CCEL table. */
const EVENT_LOG_FILE = '/sys/firmware/acpi/tables/data/CCEL'

export function tdxAttester(
  directory = CONFIGFS_TSM,
  eventLogFile: string = EVENT_LOG_FILE,
): Attester {
  return {
    tee: 'tdx',
    async attest(reportData) {
      const { report } = await tsmReport(reportData, 'tdx_guest', directory)
      // Firmware without a log is a matter for who appraises.
      const log = await readFile(eventLogFile).catch(() => undefined)
      const json = {
        cc_eventlog: log?.toString('base64') ?? null,
        quote: Buffer.from(report).toString('base64'),
      }
      return { json: JSON.stringify(json) }
    },
  }
}
