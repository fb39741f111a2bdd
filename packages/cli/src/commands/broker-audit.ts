import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import { assertGoesOn, assertIncluded, openLog, type OpenLog } from '../audit/open-log.ts'
import { noteSeenHashes, noteSeenLog, readSeenHashes } from '../audit/seen-log.ts'
import { verifyLog } from '../audit/verify-log.ts'
import { checkLines } from '../check-lines.ts'
import { textOption, type Command, type Invocation } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { count } from '../option-values.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker audit [--request ID] [--workload NAME] [--limit N] | --verify [--new-log]',
  details:
    'Newest first; --request shows the checks of one decision, with what was expected and what came. The audit is a Merkle tree whose size and root the broker signs; each time it is proved that the entries shown are in it and that it goes on from what this machine saw last. --verify reads all entries and works out the root anew, and names the first one that does not fit.',
  options: {
    request: { type: 'string', value: 'ID', help: 'only this request id' },
    workload: { type: 'string', value: 'NAME', help: 'only this workload' },
    limit: { type: 'string', value: 'N', help: 'at most so many entries; default 20' },
    verify: { type: 'boolean', help: 'read all entries and work out the root' },
    'new-log': {
      type: 'boolean',
      help: 'forget what was seen before: the broker is a new one, or a backup was restored',
    },
  },
  positionals: [0, 0],
  async run(invocation) {
    if (invocation.options['verify'] === true) return verify(invocation)
    const requestId = textOption(invocation, 'request')
    const workload = textOption(invocation, 'workload')
    const leaves = await openBroker(invocation.directories, invocation.signal).auditLeaves({
      ...(requestId !== undefined && { requestId }),
      ...(workload !== undefined && { workload }),
      limit: count('limit', textOption(invocation, 'limit') ?? '20'),
    })
    const log = await open(invocation)
    await assertGoesOn(log)
    await assertIncluded(log, leaves)
    note(invocation, log)
    const entries = leaves.map(readAuditLeaf)
    if (requestId !== undefined && invocation.format === 'table') {
      await invocation.output.object(entries, {
        name: requestId,
        text: () => entries.map((entry) => entryText(entry, invocation)).join('\n\n') || 'no entry',
      })
      return
    }
    await invocation.output.list(entries, {
      name: (entry) => entry.requestId,
      columns: [
        { title: 'TIME', cell: (entry) => new Date(entry.time).toISOString().slice(0, 19) },
        { title: 'REQUEST', spare: true, cell: (entry) => entry.requestId },
        { title: 'KIND', spare: true, cell: (entry) => entry.kind },
        { title: 'OUTCOME', cell: (entry) => entry.outcome },
        { title: 'CODE', cell: (entry) => entry.code ?? '-' },
        { title: 'WORKLOAD', cell: (entry) => escapeText(entry.workload ?? '-') },
        { title: 'SUBJECT', spare: true, cell: (entry) => escapeText(entry.subject ?? '-') },
      ],
    })
  },
}

/** One decision with its checks. */
function entryText(
  entry: ReturnType<typeof readAuditLeaf>,
  { output, verbose }: Invocation,
): string {
  const { time, kind, outcome, code, workload, subject, checks } = entry
  const words = [kind, outcome, code, workload, subject].filter((word) => word !== undefined)
  return [
    `${new Date(time).toISOString().slice(0, 19)}  ${escapeText(words.join('  '))}`,
    ...checkLines(checks, output.painter, verbose),
  ].join('\n')
}

async function verify(invocation: Invocation): Promise<void> {
  const { directories, output } = invocation
  const log = await open(invocation)
  const before = log.seen === undefined ? new Uint8Array() : readSeenHashes(directories)
  const { hashes, firstKept } = await verifyLog(log, before)
  note(invocation, log)
  noteSeenHashes(directories, hashes)
  const { origin, head, seen } = log
  const root = Buffer.from(head.root).toString('hex')
  await output.object(
    {
      origin,
      entries: head.size,
      firstKept,
      root,
      seen: seen === undefined ? null : { entries: seen.size, at: seen.seenAt },
    },
    {
      name: root,
      text: () => {
        const pruned =
          firstKept === 0 ? '' : `; those before ${firstKept} were taken out, as one of them tells`
        const before =
          seen === undefined
            ? 'seen for the first time'
            : `goes on from the ${seen.size} entries seen on ${new Date(seen.seenAt).toISOString().slice(0, 19)}`
        return `${head.size} entries give the signed root${pruned}\n${before}\n  root  ${root}\n  log   ${origin}`
      },
    },
  )
}

function open({ directories, options, signal }: Invocation): Promise<OpenLog> {
  const isNew = options['new-log'] === true
  return openLog({ directories, broker: openBroker(directories, signal), signal, isNew })
}

function note({ directories, options }: Invocation, { key, head: { checkpoint } }: OpenLog): void {
  // Hashes of another log would name the wrong entry.
  if (options['new-log'] === true) noteSeenHashes(directories, new Uint8Array())
  noteSeenLog(directories, { key, checkpoint, seenAt: Date.now() })
}
