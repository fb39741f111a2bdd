import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { trustOfVm } from '../vm/vm-trust.ts'
import { vmColumns } from '../vm/vm-text.ts'

export const command: Command = {
  usage: 'vm ls',
  details: 'Published ports are in clear to the host. What nobody verified is unattested.',
  positionals: [0, 0],
  async run(invocation) {
    const { output, signal } = invocation
    const hostd = await openHostd(invocation)
    const rows = (await hostd.vms.list({ signal })).map((view) => ({
      ...view,
      trust: trustOfVm(view),
    }))
    await output.list(rows, { name: ({ name }) => name, columns: vmColumns(output.painter) })
  },
}
