/**
 * Reports of the guest drivers' own devices, on kernels before configfs-tsm (Linux 6.7): `/dev/sev-guest` gives SNP reports by ioctl, `/dev/tdx_guest` TD
 * reports, of which the host's quote service makes quotes. Node has no ioctl, so a program in perl asks; every Debian has perl-base.
 */
import { spawn } from 'node:child_process'
import { buffer } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { CloisterError } from '@cloister/protocol/error'
import type { RawReport, ReportSource } from '../attesters/attester.ts'
import type { QuoteSource } from '../attesters/tdx.ts'

/** Beside this program, in the package as in the sources. */
const PROGRAM = fileURLToPath(new URL('tee-report.pl', import.meta.url))
const PERL = '/usr/bin/perl'
/** Above the time that the program gives a quote service. */
const TIMEOUT_MS = 40_000
const MAX_OUTPUT_BYTES = 1 << 19

/** Intel's quote service listens there unless it was told otherwise. */
export const QUOTE_SERVICE_PORT = 4050

export interface TeeDeviceOptions {
  readonly device: string
  /** Words between perl and the program; tests put their own ioctl there. */
  readonly perlWords?: readonly string[]
}

/** An SNP report with the host's certificate table; without it where the host gives none. */
export function snpDeviceSource(options: TeeDeviceOptions): ReportSource {
  return async (reportData): Promise<RawReport> => {
    const answers = await ask(['snp', options.device], reportData, options)
    return {
      report: answerOf(answers, 'report'),
      certificates: answers.get('certificates') ?? Buffer.alloc(0),
    }
  }
}

export function tdxDeviceSource(options: TeeDeviceOptions): QuoteSource {
  return async (reportData) => {
    const words = ['tdx', options.device, String(QUOTE_SERVICE_PORT)]
    return answerOf(await ask(words, reportData, options), 'quote')
  }
}

/** @throws CloisterError `agent.tee-unusable` without perl, `agent.report-failed` */
async function ask(
  words: readonly string[],
  reportData: Uint8Array,
  { perlWords = [] }: TeeDeviceOptions,
): Promise<ReadonlyMap<string, Buffer>> {
  const child = spawn(PERL, [...perlWords, PROGRAM, ...words], {
    env: { LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  const ended = Promise.withResolvers<number | null>()
  child.once('error', (cause) => ended.reject(new CloisterError('agent.tee-unusable', { cause })))
  child.once('close', ended.resolve)
  child.stdin.on('error', () => undefined)
  child.stdin.end(reportData)
  const [status, output, said] = await Promise.all([
    ended.promise,
    buffer(child.stdout),
    buffer(child.stderr),
  ])
  if (status !== 0) {
    const [line = ''] = said.toString('latin1').split('\n')
    throw failed(line === '' ? 'the kernel gave no report' : line.slice(0, 200))
  }
  if (output.length > MAX_OUTPUT_BYTES) throw failed('the report is too long')
  const lines = output.toString('latin1').trimEnd().split('\n')
  return new Map(
    lines.map((line) => {
      const [name = '', hex = ''] = line.split(' ')
      return [name, Buffer.from(hex, 'hex')]
    }),
  )
}

function answerOf(answers: ReadonlyMap<string, Buffer>, name: string): Buffer {
  const found = answers.get(name)
  if (found === undefined || found.length === 0) throw failed('the report is empty')
  return found
}

function failed(why: string): CloisterError {
  return new CloisterError('agent.report-failed', { why })
}
