/** RTMR0 for `measure --firmware`: its events, one by one, alone or beside those of a real TD's log. */
import { CloisterError } from '@cloister/protocol/error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { compareMachine, type ComparedEvent } from '@cloister/verifier/tdx/compare-machine'
import { textOption, type Invocation, type OptionSpec } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { count, mebibytes, processorId } from '../option-values.ts'
import { predictMachine, type PredictedMachine } from '../td-machine/predict-machine.ts'
import { readLog } from './measured-log.ts'

export const MACHINE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  memory: {
    type: 'string',
    value: 'SIZE',
    help: 'with --tee tdx: RTMR0 of a machine of that size',
  },
  probe: {
    type: 'boolean',
    help: 'with --memory: reads the rest from that machine, emulated by the QEMU here with --cpus',
  },
  'machine-files': {
    type: 'string',
    value: 'DIR',
    help: 'with --memory: reads the rest from files of a guest: fw_cfg, DMI, efivars',
  },
  'processor-id': {
    type: 'string',
    value: 'HEX',
    help: "with --probe: ID in `dmidecode -t processor` of a TD on the host's processors",
  },
  'old-firmware': {
    type: 'boolean',
    help: 'with --memory: the firmware is of before edk2-stable202505, which measured less',
  },
  log: { type: 'string', value: 'LOG', help: "with --memory: compares with a real TD's CCEL" },
}

/** @returns undefined without --memory. @throws CloisterError `cli.usage`, and those of `predictMachine` */
export async function measuredMachine(
  invocation: Invocation,
  firmware: string,
): Promise<PredictedMachine | undefined> {
  const { options, signal } = invocation
  const memory = textOption(invocation, 'memory')
  if (memory === undefined) {
    const stray = Object.keys(MACHINE_OPTIONS).find((name) => options[name] !== undefined)
    if (stray === undefined) return undefined
    throw new CloisterError('cli.usage', { why: `--${stray} goes with --memory` })
  }
  const folder = textOption(invocation, 'machine-files')
  const isEmulated = options['probe'] === true
  if (folder !== undefined && isEmulated)
    throw new CloisterError('cli.usage', { why: '--probe or --machine-files, not both' })
  const predicted = await predictMachine(
    {
      firmware,
      memoryMiB: mebibytes('memory', memory, { min: 1, max: 16 << 20 }),
      cpus: count('cpus', textOption(invocation, 'cpus') ?? '1'),
      ...(isEmulated && { source: { kind: 'emulated' } }),
      ...(folder !== undefined && { source: { kind: 'files', folder } }),
      processorId: processorId(textOption(invocation, 'processor-id')),
      isOldFirmware: options['old-firmware'] === true,
    },
    signal,
  )
  if (predicted.leftOut !== undefined) invocation.output.talk(predicted.leftOut)
  return predicted
}

export async function showMachineEvents(
  { output }: Invocation,
  { events, rtmr0 }: PredictedMachine,
): Promise<void> {
  const rows = events.map(({ event, digest }) => ({
    event,
    digest: digest === undefined ? null : toHex(digest),
  }))
  await output.list(rows, {
    name: ({ digest }) => digest ?? '-',
    columns: [
      { title: 'EVENT OF RTMR0', cell: ({ event }) => event },
      { title: 'DIGEST', cell: ({ digest }) => digest ?? 'not known' },
    ],
  })
  output.talk(rtmr0 === undefined ? 'RTMR0 is not known: an event is missing' : `RTMR0  ${rtmr0}`)
}

/** @throws CloisterError `evidence.malformed`, also for a log without RTMR0 */
export async function compareWithLog(
  invocation: Invocation,
  file: string,
  { events }: PredictedMachine,
): Promise<void> {
  const { output } = invocation
  const log = await readLog(invocation, file)
  const received = log.events.flatMap((event) =>
    event.register === 'RTMR 0' && event.digest !== null
      ? [{ ...event, digest: event.digest }]
      : [],
  )
  if (received.length === 0)
    throw new CloisterError('evidence.malformed', { where: file, why: 'it has no event of RTMR0' })
  const rows = comparedRows(events, received, file)
  await output.list(rows, {
    name: ({ verdict }) => verdict,
    columns: [
      { title: 'EVENT OF RTMR0', cell: ({ event }) => escapeText(event) },
      { title: 'VERDICT', cell: ({ verdict }) => verdict },
      { title: 'LOG SAYS', cell: logText },
      { title: 'RECEIVED', cell: ({ received: digest }) => digest ?? '-' },
    ],
  })
  output.talk(`RTMR0 of the log  ${log.registers.get('RTMR 0') ?? '-'}`)
}

function comparedRows(
  ...[events, received, file]: [...Parameters<typeof compareMachine>, string]
): ComparedEvent[] {
  try {
    return compareMachine(events, received)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw new CloisterError('evidence.malformed', { where: file, why: cause.message, cause })
  }
}

/** In brackets what is a label that no digest covers. */
export function logText({ log }: Pick<ComparedEvent, 'log'>): string {
  if (log === null) return '-'
  return escapeText(log.isMeasured ? log.text : `(${log.text})`)
}
