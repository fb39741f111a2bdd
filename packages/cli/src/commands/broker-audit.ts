import { judgeAudit } from '@cloister/protocol/audit-chain'
import type { AuditEntry } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command, type Invocation } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

/** Entries asked for at once; the most that a broker gives. */
const PAGE = 1000

export const command: Command = {
  usage: 'broker audit [--request ID] [--workload NAME] [--limit N] | --verify [--noted HASH]',
  details:
    'Newest first. Failed checks show what was expected and what came. --verify reads the whole audit and checks its chain of hashes: that no entry was changed, taken out or put in, and, with a hash that an earlier --verify gave, that it is the same history.',
  options: {
    request: { type: 'string', value: 'ID', help: 'only this request id' },
    workload: { type: 'string', value: 'NAME', help: 'only this workload' },
    limit: { type: 'string', value: 'N', help: 'at most so many entries; default 20' },
    verify: { type: 'boolean', help: 'check the chain of all entries' },
    noted: { type: 'string', value: 'HASH', help: 'hash that an earlier --verify gave' },
  },
  positionals: [0, 0],
  async run(invocation) {
    if (invocation.options['verify'] === true) return verify(invocation)
    const requestId = textOption(invocation, 'request')
    const workload = textOption(invocation, 'workload')
    const entries = await openBroker(invocation.directories, invocation.signal).audit({
      ...(requestId !== undefined && { requestId }),
      ...(workload !== undefined && { workload }),
      limit: Number(textOption(invocation, 'limit') ?? 20),
    })
    await invocation.output.list(entries, {
      name: (entry) => entry.requestId,
      columns: [
        { title: 'TIME', cell: (entry) => new Date(entry.time).toISOString().slice(0, 19) },
        { title: 'REQUEST', cell: (entry) => entry.requestId },
        { title: 'KIND', cell: (entry) => entry.kind },
        { title: 'OUTCOME', cell: (entry) => entry.outcome },
        { title: 'CODE', cell: (entry) => entry.code ?? '-' },
        { title: 'WORKLOAD', cell: (entry) => entry.workload ?? '-' },
        { title: 'SUBJECT', cell: (entry) => entry.subject ?? '-' },
      ],
    })
  },
}

async function verify(invocation: Invocation): Promise<void> {
  const entries = await wholeAudit(invocation)
  const verdict = judgeAudit(entries, textOption(invocation, 'noted'))
  if (!verdict.holds) throw new CloisterError('broker.audit-broken', { why: verdict.why })
  const [first, last] = [entries[0], entries.at(-1)]
  await invocation.output.object(
    {
      entries: entries.length,
      first: first?.sequence ?? null,
      last: last?.sequence ?? null,
      cut: verdict.cut,
      hash: last?.hash ?? null,
    },
    {
      name: last?.hash ?? '',
      text: () => {
        const cut = `; those before ${first?.sequence} were cut off, as one of them says`
        const chain = `${entries.length} entries form a chain${verdict.cut ? cut : ''}`
        return last === undefined ? chain : `${chain}\n${last.hash}`
      },
    },
  )
  if (last !== undefined)
    invocation.output.talk(`later: cloister broker audit --verify --noted ${last.hash}`)
}

/** Oldest first. */
async function wholeAudit({ directories, signal }: Invocation): Promise<AuditEntry[]> {
  const broker = openBroker(directories, signal)
  const entries: AuditEntry[] = []
  for (let before: number | undefined; ; before = entries.at(-1)?.sequence) {
    const page = await broker.audit({ limit: PAGE, ...(before !== undefined && { before }) })
    entries.push(...page)
    if (page.length < PAGE) return entries.toReversed()
  }
}
