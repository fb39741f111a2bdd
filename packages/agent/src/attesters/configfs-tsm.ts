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

/** Guest drivers that this agent knows, as the kernel names them. */
export const TSM_PROVIDERS = ['sev_guest', 'tdx_guest'] as const
export type TsmProvider = (typeof TSM_PROVIDERS)[number]

/** Reports of the SNP guest driver. */
export function configfsSource(directory = CONFIGFS_TSM): ReportSource {
  return (reportData) => tsmReport(reportData, 'sev_guest', directory)
}

/** @throws CloisterError `agent.report-failed` */
export async function tsmReport(
  reportData: Uint8Array,
  provider: TsmProvider,
  directory = CONFIGFS_TSM,
): Promise<RawReport> {
  return withEntry(directory, async (entry) => {
    const found = await providerOf(entry)
    if (found !== provider)
      throw new CloisterError('agent.report-failed', { expected: provider, received: found })
    return readEntry(entry, reportData)
  })
}

/** Whose reports the kernel gives; undefined where it gives none. */
export async function tsmProvider(directory = CONFIGFS_TSM): Promise<TsmProvider | undefined> {
  const found = await withEntry(directory, providerOf).catch(() => undefined)
  return TSM_PROVIDERS.find((provider) => provider === found)
}

async function withEntry<Result>(
  directory: string,
  use: (entry: string) => Promise<Result>,
): Promise<Result> {
  const entry = join(directory, `cloister-${randomBytes(8).toString('hex')}`)
  try {
    await mkdir(entry)
  } catch (cause) {
    throw failed('the kernel offers no reports', cause)
  }
  try {
    return await use(entry)
  } catch (cause) {
    throw cause instanceof CloisterError ? cause : failed('the kernel gave no report', cause)
  } finally {
    await rmdir(entry).catch(() => undefined)
  }
}

async function providerOf(entry: string): Promise<string> {
  return (await readFile(join(entry, 'provider'), 'latin1')).trim().slice(0, 40)
}

async function readEntry(entry: string, reportData: Uint8Array): Promise<RawReport> {
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
