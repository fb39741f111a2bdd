/** A VM for people. */
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { age } from '../age.ts'
import { titledLines } from '../titled-lines.ts'
import { escapeText } from '../escape-text.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import type { Column } from '../output.ts'
import type { Painter } from '../paint.ts'
import type { TrustState } from '../owner/trust-state.ts'
import { protectionOf } from './vm-protection.ts'

export type ShownVm = VmView & { readonly trust: TrustState }

export function vmStateCell(view: VmView): string {
  if (view.restartsAt !== undefined) return 'restarting'
  if (view.state === 'failed') return `failed ${escapeText(view.error?.code ?? '')}`.trim()
  if (view.diskFullAt !== undefined) return `${view.state}, host disk full`
  if (view.state === 'running' && view.vtpmLostAt !== undefined) return 'running, vTPM lost'
  return view.state
}

export function cpusText(cpus: number): string {
  return cpus === 1 ? '1 vCPU' : `${cpus} vCPUs`
}

/** An encrypted disk is smaller for its guest than for the host. */
export function diskText({ diskMiB, guestDiskMiB }: VmView): string {
  if (guestDiskMiB === undefined) return `disk ${diskMiB} MiB`
  return `encrypted disk ${guestDiskMiB} MiB for the guest (${diskMiB} MiB on the host)`
}

export function portsCell(ports: VmView['ports']): string {
  return ports.map(({ address, host, guest }) => `${address}:${host}→${guest}`).join(' ') || '-'
}

export function vmColumns(painter: Painter): readonly Column<ShownVm>[] {
  return [
    { title: 'NAME', cell: (vm) => vm.name },
    { title: 'IMAGE', cell: (vm) => escapeText(vm.image.name.slice(0, 32)) },
    { title: 'STATE', cell: vmStateCell },
    { title: 'TRUST', cell: (vm) => paintTrust(vm.trust, painter) },
    { title: 'TEE', spare: true, cell: (vm) => vm.tee },
    { title: 'CPUS', spare: true, cell: (vm) => String(vm.cpus) },
    { title: 'MEMORY', spare: true, cell: (vm) => `${vm.memoryMiB} MiB` },
    { title: 'DISK', spare: true, cell: (vm) => `${vm.guestDiskMiB ?? vm.diskMiB} MiB` },
    { title: 'AGE', spare: true, cell: (vm) => age(Date.parse(vm.createdAt), Date.now()) },
    { title: 'PORTS (clear)', cell: (vm) => portsCell(vm.ports) },
  ]
}

export function vmText(vm: ShownVm, painter: Painter): string {
  const onOff = (value: boolean) => (value ? 'on' : 'off')
  const lines: (readonly [string, string])[] = [
    ['name', vm.name],
    ['state', `${vmStateCell(vm)}${vm.why === undefined ? '' : `  (${escapeText(vm.why)})`}`],
    ...(vm.diskFullAt === undefined
      ? []
      : [
          ['', 'the guest stands still: make space on the host, and it goes on by itself'] as const,
        ]),
    ...(vm.error === undefined ? [] : [['', escapeText(vm.error.why)] as const]),
    ['trust', `${paintTrust(vm.trust, painter)}  ${trustMeaning(vm.trust)}`],
    ['protection', protectionOf(vm)],
    [
      'tee',
      `${vm.tee}, ${vm.boot} boot${vm.accelerator === undefined ? '' : `, ${vm.accelerator}`}`,
    ],
    [
      'shield',
      `Secure Boot ${onOff(vm.secureBoot)}${vm.secureBoot ? ` (keys: ${vm.secureBootKeys})` : ''}, vTPM ${onOff(vm.vtpm)}, integrity monitoring ${onOff(vm.integrityMonitoring)}`,
    ],
    ...(vm.vtpm
      ? [['TPM state', 'encrypted; its key is held by the host, so not against the host'] as const]
      : []),
    ['size', `${cpusText(vm.cpus)}, ${vm.memoryMiB} MiB, ${diskText(vm)}`],
    [
      'image',
      `${escapeText(vm.image.name)}${vm.image.sha256 === undefined ? '' : `  sha256:${vm.image.sha256}`}`,
    ],
    [
      'network',
      vm.network.kind === 'user' ? 'behind the host' : `bridge ${vm.network.bridge}, ${vm.mac}`,
    ],
    ['ports', portsCell(vm.ports)],
    ['agent', vm.hasAgent ? 'answers' : 'none has answered'],
    ['boots', `${vm.boots}${vm.startedAt === undefined ? '' : `, the last ${vm.startedAt}`}`],
    ['id', `${vm.id}${vm.pid === undefined ? '' : `, QEMU ${vm.pid}`}`],
  ]
  return titledLines(lines)
}
