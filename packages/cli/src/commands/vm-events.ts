import type { Command } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { openHostd } from '../hostd.ts'
import type { VmEvent } from '@cloister/protocol/hostd-vm-api'

export const command: Command = {
  usage: 'vm events NAME',
  details:
    'The history that hostd keeps, oldest first, newest 256 KiB. It is the word of the host.',
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const events: VmEvent[] = []
    for await (const event of hostd.vms.events(name, { signal })) events.push(event)
    await output.list(events, {
      name: ({ type }) => type,
      columns: [
        { title: 'TIME', cell: ({ time }) => time },
        { title: 'EVENT', cell: ({ type }) => type },
        { title: 'WHY', cell: ({ why }) => escapeText(why ?? '').replaceAll('\n', ' ') },
        {
          title: 'DETAIL',
          cell: ({ detail }) =>
            detail === undefined ? '' : escapeText(JSON.stringify(detail).slice(0, 120)),
        },
      ],
    })
  },
}
