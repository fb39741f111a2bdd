import { textOption, type Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'broker audit [--request ID] [--workload NAME] [--limit N]',
  details: 'Newest first. Failed checks show what was expected and what came.',
  options: {
    request: { type: 'string', value: 'ID', help: 'only this request id' },
    workload: { type: 'string', value: 'NAME', help: 'only this workload' },
    limit: { type: 'string', value: 'N', help: 'at most so many entries; default 20' },
  },
  positionals: [0, 0],
  async run(invocation) {
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
