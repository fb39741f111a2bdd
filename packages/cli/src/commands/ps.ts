import { isEnded, type WorkloadView } from '@cloister/protocol/hostd-api'
import { isAtRest, type VmView } from '@cloister/protocol/hostd-vm-api'
import { age } from '../age.ts'
import type { Command, Invocation } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { openHostd } from '../hostd.ts'
import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { TrustState } from '../owner/trust-state.ts'
import { paintTrust } from '../paint-trust.ts'
import { portsCell, vmStateCell } from '../vm/vm-text.ts'
import { trustOfVms } from '../vm/vm-trust.ts'

/** A guest that does not answer in this time is listed as unattested. */
const EVIDENCE_TIMEOUT_MS = 5000

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
    const [trust, vmTrust] = await Promise.all([
      trustOfEach(views, invocation, hostd),
      trustOfVms(machines, hostd, invocation),
    ])
    const rows: Row[] = [
      ...views.map((view, index) => {
        return { kind: 'container' as const, ...view, trust: trust[index] ?? 'unattested' }
      }),
      ...machines.map((view, index) => {
        return { kind: 'vm' as const, ...view, trust: vmTrust[index] ?? 'unattested' }
      }),
    ]
    await output.list(rows, {
      name: (row) => row.name,
      columns: [
        { title: 'NAME', cell: (row) => row.name },
        { title: 'KIND', cell: (row) => row.kind },
        { title: 'IMAGE', cell: imageCell },
        { title: 'STATE', cell: (row) => (row.kind === 'vm' ? vmStateCell(row) : stateCell(row)) },
        { title: 'TRUST', cell: (row) => paintTrust(row.trust, output.painter) },
        { title: 'TEE', cell: (row) => row.tee },
        { title: 'AGE', cell: (row) => age(Date.parse(row.createdAt), Date.now()) },
        { title: 'PORTS (clear)', cell: (row) => portsCell(row.ports) },
      ],
    })
  },
}

type Row =
  | (WorkloadView & { readonly kind: 'container'; readonly trust: TrustState })
  | (VmView & { readonly kind: 'vm'; readonly trust: TrustState })

function imageCell(row: Row): string {
  const name = row.kind === 'vm' ? row.image.name : row.image.reference
  return escapeText(name.slice(0, 48))
}

function stateCell(view: WorkloadView): string {
  if (view.state === 'exited') return `exited ${view.exitCode ?? ''}`.trim()
  if (view.state === 'failed') return `failed ${escapeText(view.error?.code ?? '')}`.trim()
  if (view.state !== 'starting') return view.state
  return `starting: ${escapeText(view.stages.at(-1)?.name ?? 'boot')}`
}

async function trustOfEach(
  views: readonly WorkloadView[],
  { directories, signal }: Invocation,
  hostd: Awaited<ReturnType<typeof openHostd>>,
): Promise<TrustState[]> {
  if (!views.some(({ state }) => state === 'running')) return views.map(() => 'unattested')
  const references = await ownerReferences(directories, openBroker(directories, signal)).catch(
    () => undefined,
  )
  return await Promise.all(
    views.map(async ({ name, state }): Promise<TrustState> => {
      if (state !== 'running' || references === undefined) return 'unattested'
      const limited = AbortSignal.any([signal, AbortSignal.timeout(EVIDENCE_TIMEOUT_MS)])
      // Without an answer nothing is known, which is what the list says; `verify` gives the reason.
      return await appraiseWorkload(name, hostd, references(name), { signal: limited }).then(
        ({ verdict }) => verdict.trust,
        () => 'unattested',
      )
    }),
  )
}
