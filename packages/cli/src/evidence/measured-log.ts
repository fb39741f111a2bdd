/** Event logs for `measure`: the registers they add up to, each event with the value after it, and why two of them differ. */
import { stat } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { diffLogs } from '@cloister/verifier/eventlog/diff-logs'
import { explainLog, type ExplainedLog } from '@cloister/verifier/eventlog/explain-log'
import { TPM_HASHES, type HashName } from '@cloister/verifier/tpm/algorithms'
import { textOption, type Invocation } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { EVIDENCE_BYTES, readInput } from '../read-input.ts'

/** A name that is no image of ours but a file, or `-`. */
export async function isLogFile({ directories }: Invocation, name: string): Promise<boolean> {
  const isImage = await isOfKind(`${directories.images}/${name}`, 'isDirectory')
  return name === '-' || (!isImage && (await isOfKind(name, 'isFile')))
}

async function isOfKind(path: string, kind: 'isFile' | 'isDirectory'): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.[kind]() === true
}

export async function showLogRegisters(invocation: Invocation, file: string): Promise<void> {
  const log = await readLog(invocation, file)
  const rows = [...log.registers].map(([register, value]) => ({
    register,
    bank: log.bank,
    value,
    events: log.events.filter((event) => event.register === register && event.digest !== null)
      .length,
  }))
  await invocation.output.list(rows, {
    name: (row) => row.value,
    columns: [
      { title: 'REGISTER', cell: (row) => row.register },
      { title: 'BANK', cell: (row) => row.bank },
      { title: 'EVENTS', cell: (row) => String(row.events) },
      { title: 'VALUE', cell: (row) => row.value },
    ],
  })
}

export async function showLogEvents(invocation: Invocation, file: string): Promise<void> {
  const { events } = await readLog(invocation, file)
  const rows = events.map(
    ({ number, register, component, event, description, isMeasured, digest, value }) => ({
      number,
      register,
      event,
      component,
      description,
      isMeasured,
      digest,
      value,
    }),
  )
  await invocation.output.list(rows, {
    name: (row) => row.digest ?? '-',
    columns: [
      { title: '#', cell: (row) => String(row.number) },
      { title: 'REGISTER', cell: (row) => row.register },
      { title: 'EVENT', cell: (row) => row.event },
      { title: 'WHAT', cell: (row) => labelled(row.description, row.isMeasured) },
      { title: 'DIGEST', cell: (row) => row.digest ?? 'extends nothing' },
      { title: 'VALUE AFTER', cell: (row) => row.value ?? '-' },
    ],
  })
}

export async function showLogDifferences(
  invocation: Invocation,
  fileA: string,
  fileB: string,
): Promise<void> {
  let [a, b] = [await readLog(invocation, fileA), await readLog(invocation, fileB)]
  if (a.bank !== b.bank) {
    const bank = a.banks.find((name) => b.banks.includes(name))
    if (bank === undefined)
      throw new CloisterError('cli.usage', {
        why: `the logs have no bank in common: ${a.banks.join(', ')} and ${b.banks.join(', ')}`,
      })
    ;[a, b] = [await readLog(invocation, fileA, bank), await readLog(invocation, fileB, bank)]
  }
  const rows = diffLogs(a, b)
  if (rows.length === 0)
    invocation.output.talk(`both logs add up to the same ${a.bank} values in every register`)
  await invocation.output.list(rows, {
    name: (row) => row.register,
    columns: [
      { title: 'REGISTER', cell: (row) => row.register },
      { title: 'FIRST EVENT', cell: (row) => row.event },
      { title: 'A', cell: (row) => (row.a === null ? '-' : `#${row.a.number}`) },
      { title: 'B', cell: (row) => (row.b === null ? '-' : `#${row.b.number}`) },
      { title: 'MORE', cell: (row) => String(row.more) },
      { title: 'CAUSE', cell: (row) => escapeText(row.cause) },
    ],
  })
}

/** @throws CloisterError `evidence.malformed` */
export async function readLog(
  invocation: Invocation,
  file: string,
  bank: HashName | undefined = bankOption(invocation),
): Promise<ExplainedLog> {
  const bytes = await readInput(file, EVIDENCE_BYTES)
  try {
    return await explainLog(bytes, bank)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('evidence.malformed', { where: file, why: cause.message, cause })
  }
}

function bankOption(invocation: Invocation): HashName | undefined {
  const name = textOption(invocation, 'bank')
  if (name === undefined) return undefined
  const known = Object.keys(TPM_HASHES).find((one): one is HashName => one === name)
  if (known === undefined)
    throw new CloisterError('cli.usage', {
      why: `--bank is one of ${Object.keys(TPM_HASHES).join(', ')}`,
    })
  return known
}

/** In the table a label that no digest covers is told from text that is measured. */
function labelled(description: string, isMeasured: boolean): string {
  return escapeText(isMeasured ? description : `(${description})`)
}
