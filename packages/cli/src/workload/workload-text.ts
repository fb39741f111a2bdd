/** A workload for people. */
import type { WorkloadView } from '@cloister/protocol/hostd-api'
import type { Workload } from '@cloister/protocol/workload'
import { secondsText } from '../stage-text.ts'
import { titledLines } from '../titled-lines.ts'
import { escapeText } from '../escape-text.ts'
import type { TrustState } from '../owner/trust-state.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import type { Painter } from '../paint.ts'
import { cpusText, portsCell } from '../vm/vm-text.ts'

type View = Omit<WorkloadView, 'initdata'>

/** The image without its digest, where a tag names it too. */
export function imageName(reference: string): string {
  const [name = '', digest] = reference.split('@')
  return digest !== undefined && !/:[^/]*$/.test(name) ? `${name}@${digest.slice(0, 19)}` : name
}

export function stateText(view: View): string {
  if (view.state === 'exited') return `exited ${view.exitCode ?? ''}`.trim()
  if (view.state === 'failed') return `failed ${escapeText(view.error?.code ?? '')}`.trim()
  if (view.state !== 'starting') return view.state
  return `starting: ${escapeText(view.stages.at(-1)?.name ?? 'boot')}`
}

export function workloadText(
  view: View & { readonly trust: TrustState; readonly workload: Workload },
  painter: Painter,
): string {
  const { workload, error } = view
  const { container, hostPolicy } = workload
  const secrets = container.secrets.map(
    ({ resource, file, env }) => `${resource} as ${file ?? `variable ${env ?? ''}`}`,
  )
  const opened = Object.entries(hostPolicy).flatMap(([name, value]) =>
    value === true ? [name] : [],
  )
  const lines: readonly (readonly [string, string])[] = [
    ['name', view.name],
    ['state', stateText(view)],
    ...(error === undefined ? [] : [['', escapeText(error.why)] as const]),
    ['trust', `${paintTrust(view.trust, painter)}  ${trustMeaning(view.trust)}`],
    ['image', escapeText(workload.image.reference)],
    [
      'guest',
      `${view.guestImage.name} version ${view.guestImage.imageVersion}, ${view.tee}${view.debug ? ', debug' : ''}, ${view.accelerator}`,
    ],
    ['size', `${cpusText(view.cpus)}, ${view.memoryMiB} MiB, scratch disk ${view.scratchMiB} MiB`],
    ['ports', portsCell(view.ports)],
    ['variables', container.env.map(escapeText).join(' ') || '-'],
    ['secrets', secrets.map(escapeText).join(', ') || '-'],
    ['host may', opened.join(', ') || 'nothing'],
    ['initdata', `${view.initdataDigest}  (revision ${workload.revision})`],
    ['created', view.createdAt],
    ['id', `${view.id}${view.pid === undefined ? '' : `, QEMU ${view.pid}`}`],
    ['boot', bootText(view)],
  ]
  return titledLines(lines)
}

function bootText({ stages }: View): string {
  return (
    stages.map(({ name, hostMs }) => `${escapeText(name)} ${secondsText(hostMs)}`).join(', ') || '-'
  )
}
