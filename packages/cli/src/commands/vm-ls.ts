import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { trustOfGuests } from '../owner/trust-of-guests.ts'
import { vmColumns } from '../vm/vm-text.ts'

export const command: Command = {
  usage: 'vm ls',
  details:
    'Published ports are in clear to the host. Trust is computed here, from fresh evidence of each VM whose agent answers; the others are unattested.',
  positionals: [0, 0],
  async run(invocation) {
    const { output, signal } = invocation
    const hostd = await openHostd(invocation)
    const views = await hostd.vms.list({ signal })
    const trust = await trustOfGuests(views, hostd, invocation)
    const rows = views.map((view, index) => ({ ...view, trust: trust[index] ?? 'unattested' }))
    await output.list(rows, { name: ({ name }) => name, columns: vmColumns(output.painter) })
  },
}
