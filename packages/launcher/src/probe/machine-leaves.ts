/** Leaves of `cloister vm`: what VMs with a disk of their own need beyond QEMU. Nothing here stands in the way of a TEE or a container. */
import type { HostView } from './host-view.ts'
import { finding, pass, type ProbeLeaf } from './probe-node.ts'

const install = (packages: string) => `apt-get install --no-install-recommends ${packages}`

const PROGRAMS = [
  { program: 'qemu-img', use: 'importing disks and their snapshots', packages: 'qemu-utils' },
  { program: 'swtpm', use: 'virtual TPMs', packages: 'swtpm' },
  { program: 'swtpm_setup', use: 'making virtual TPMs', packages: 'swtpm-tools' },
] as const

export async function machineLeaves(view: HostView): Promise<ProbeLeaf[]> {
  const programs = PROGRAMS.map(async ({ program, use, packages }) => {
    const name = { id: `vm.${program}`, title: program }
    if (await view.hasProgram(program)) return pass(name, 'found')
    return finding(name, 'warn', 'not found', `needed for ${use}`, install(packages))
  })
  return Promise.all([firmwareLeaf(view), ...programs, bridgeLeaf(view)])
}

async function firmwareLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'vm.firmware', title: 'UEFI firmware' }
  const [secure, plain] = await Promise.all([view.hasFirmware(true), view.hasFirmware(false)])
  if (secure && plain) return pass(name, 'OVMF, with and without Secure Boot')
  const evidence = plain
    ? 'no OVMF with Secure Boot'
    : secure
      ? 'OVMF with Secure Boot only'
      : 'no OVMF'
  return finding(name, 'warn', evidence, 'VMs boot their disk by it', install('ovmf'))
}

/** Only for `--network bridge=`. */
async function bridgeLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'vm.tun', title: '/dev/net/tun' }
  const access = await view.deviceAccess('/dev/net/tun')
  if (access === 'usable' && (await view.hasProgram('ip'))) return pass(name, 'QEMU may open it')
  return finding(
    name,
    'skip',
    access === 'usable' ? 'no program ip' : access,
    'needed for VMs on a bridge; others use the user network',
    'modprobe tun && chmod 666 /dev/net/tun',
    install('iproute2'),
  )
}
