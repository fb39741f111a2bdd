/**
 * Reports through the kernel's configfs-tsm (Documentation/ABI/testing/configfs-tsm-report). An entry is a directory: `inblob` takes the
 * report data in one write, `outblob` gives the report, `auxblob` the certificate table. The privilege level stays at its default, VMPL 0.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { RawReport, ReportSource } from './attester.ts'

export const CONFIGFS_TSM = '/sys/kernel/config/tsm/report'

/** Reports of the SNP guest driver. */
export function configfsSource(directory = CONFIGFS_TSM): ReportSource {
  return async (reportData) => {
    const entry = join(directory, `cloister-${randomBytes(8).toString('hex')}`)
    try {
      await mkdir(entry)
    } catch (cause) {
      throw failed('the kernel offers no reports', cause)
    }
    try {
      return await readEntry(entry, reportData)
    } catch (cause) {
      throw cause instanceof CloisterError ? cause : failed('the kernel gave no report', cause)
    } finally {
      await rmdir(entry).catch(() => undefined)
    }
  }
}

async function readEntry(entry: string, reportData: Uint8Array): Promise<RawReport> {
  const provider = await readFile(join(entry, 'provider'), 'latin1')
  if (provider !== 'sev_guest\n')
    throw new CloisterError('agent.report-failed', {
      expected: 'sev_guest',
      received: provider.trim().slice(0, 40),
    })
  await writeOnce(join(entry, 'inblob'), reportData)
  const report = await readFile(join(entry, 'outblob'))
  const certificates = await readFile(join(entry, 'auxblob')).catch(absentIsEmpty)
  // The kernel counts writes. More than ours: somebody else wrote into this entry, and the report may be over their bytes.
  const generation = (await readFile(join(entry, 'generation'), 'latin1')).trim()
  if (generation !== '1') throw failed(`generation ${generation.slice(0, 20)}, wanted 1`)
  if (report.length === 0) throw failed('the report is empty')
  return { report, certificates }
}

/** configfs takes an attribute in a single write and knows no truncation. */
async function writeOnce(path: string, data: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  const { bytesWritten } = await file.write(data)
  if (bytesWritten !== data.length) throw failed('the kernel took a part of the report data')
}

function absentIsEmpty(error: NodeJS.ErrnoException): Buffer {
  if (error.code === 'ENOENT') return Buffer.alloc(0)
  throw error
}

function failed(why: string, cause?: unknown): CloisterError {
  return new CloisterError('agent.report-failed', { why, cause })
}
