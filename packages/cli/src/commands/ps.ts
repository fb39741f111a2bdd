import { isEnded, type WorkloadView } from '@cloister/protocol/hostd-api'
import { isAtRest, type VmView } from '@cloister/protocol/hostd-vm-api'
import { age } from '../age.ts'
import type { Command } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { openHostd } from '../hostd.ts'
import type { TrustState } from '../owner/trust-state.ts'
import { trustOfGuests } from '../owner/trust-of-guests.ts'
import { paintTrust } from '../paint-trust.ts'
import { portsCell, vmStateCell } from '../vm/vm-text.ts'
import { imageName, stateText } from '../workload/workload-text.ts'

export const command: Command = {
  usage: 'ps [-a]',
  details:
    'Workloads and VMs. Trust is computed here, from fresh evidence of each that runs; a VM without an agent is unattested.\nPublished ports are in clear to the host.',
  options: { all: { type: 'boolean', short: 'a', help: 'ended workloads and VMs at rest too' } },
  positionals: [0, 0],
  async run(invocation) {
    const { output, signal, options } = invocation
    const hostd = await openHostd(invocation)
    const all = options['all'] === true
    const [workloads, vms] = await Promise.all([hostd.list({ signal }), hostd.vms.list({ signal })])
    const views = workloads.filter(({ state }) => all || !isEnded(state))
    const machines = vms.filter(({ state }) => all || !isAtRest(state))
    const trust = await trustOfGuests([...views, ...machines], hostd, invocation)
    const rows: Row[] = [
      ...views.map((view, index) => {
        return { kind: 'container' as const, ...view, trust: trust[index] ?? 'unattested' }
      }),
      ...machines.map((view, index) => {
        return { kind: 'vm' as const, ...view, trust: trust[views.length + index] ?? 'unattested' }
      }),
    ]
    await output.list(rows, {
      name: (row) => row.name,
      columns: [
        { title: 'NAME', cell: (row) => row.name },
        { title: 'KIND', spare: true, cell: (row) => row.kind },
        { title: 'IMAGE', spare: true, cell: imageCell },
        { title: 'STATE', cell: (row) => (row.kind === 'vm' ? vmStateCell(row) : stateText(row)) },
        { title: 'TRUST', cell: (row) => paintTrust(row.trust, output.painter) },
        { title: 'TEE', spare: true, cell: (row) => row.tee },
        { title: 'AGE', spare: true, cell: (row) => age(Date.parse(row.createdAt), Date.now()) },
        { title: 'PORTS (clear)', cell: (row) => portsCell(row.ports) },
      ],
    })
  },
}

type Row =
  | (WorkloadView & { readonly kind: 'container'; readonly trust: TrustState })
  | (VmView & { readonly kind: 'vm'; readonly trust: TrustState })

function imageCell(row: Row): string {
  return escapeText(
    imageName(row.kind === 'vm' ? row.image.name : row.image.reference).slice(0, 48),
  )
}
