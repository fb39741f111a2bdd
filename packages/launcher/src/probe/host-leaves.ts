/** Leaves that every guest needs, whatever its TEE. */
import { isAtLeast } from '../qemu-capabilities.ts'
import type { AcceleratorChoice } from '../vm-spec.ts'
import type { HostView } from './host-view.ts'
import { finding, pass, type ProbeLeaf } from './probe-node.ts'

/** One small guest and its disks, and a build of the guest image. */
const LEAST_MEMORY_BYTES = 1 << 30
const LEAST_DISK_BYTES = 4 * 2 ** 30
const GIB = 2 ** 30

const QEMU_PACKAGE: Readonly<Record<string, string>> = {
  x64: 'qemu-system-x86',
  s390x: 'qemu-system-misc',
}

export async function virtualisationLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'cpu.virtualisation', title: 'Virtualisation by the processor' }
  const info = (await view.readFile('/proc/cpuinfo')) ?? ''
  const flag = ['svm', 'vmx', 'sie'].find((word) => hasCpuFlag(info, word))
  const model = /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? 'processor of unknown name'
  if (flag !== undefined) return pass(name, `${model}, ${flag}`)
  return finding(
    name,
    'warn',
    model,
    'the processor shows no virtualisation: guests are emulated, which is many times slower',
    'switch it on in the firmware (SVM Mode, AMD-V, Intel VT-x)',
    'in a VM: allow nested virtualisation at its host',
  )
}

/** Flags stand in each processor's line `flags` (s390x: `features`). */
export function hasCpuFlag(info: string, flag: string): boolean {
  const line = /^(?:flags|features)\s*:\s*(.*)$/m.exec(info)?.[1]
  return line?.split(/\s+/).includes(flag) ?? false
}

export async function kvmLeaf(
  view: HostView,
  choice: AcceleratorChoice | undefined,
): Promise<ProbeLeaf> {
  const name = { id: 'kvm', title: 'KVM' }
  const slow = 'guests are emulated, which is many times slower'
  switch (await view.deviceAccess('/dev/kvm')) {
    case 'absent':
      return finding(name, 'warn', 'no /dev/kvm', slow, 'modprobe kvm_amd || modprobe kvm_intel')
    case 'denied':
      return finding(
        name,
        'warn',
        '/dev/kvm is closed to QEMU, which runs without privileges',
        slow,
        'groupadd -f -r kvm && chgrp kvm /dev/kvm && chmod 660 /dev/kvm',
        'usermod -aG kvm "$USER" and log in again',
      )
    case 'usable':
  }
  if (choice?.accelerator === 'kvm') return pass(name, 'a probe guest ran under it')
  if (choice === undefined)
    return finding(
      name,
      'unknown',
      '/dev/kvm opens',
      'no probe guest was tried yet; the first start of hostd does',
      'cloister guest-image build',
    )
  return finding(name, 'warn', choice.reason ?? 'not used', slow)
}

export async function qemuLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'qemu', title: 'QEMU' }
  const found = await view.qemu()
  const install = `apt-get install --no-install-recommends ${QEMU_PACKAGE[view.architecture] ?? 'qemu-system'}`
  if (found === undefined)
    return finding(name, 'fail', 'not found', 'no guest can start without it', install)
  const { program, version } = found
  const evidence = `${program} ${version.major}.${version.minor}`
  if (isAtLeast(version, 7, 2)) return pass(name, evidence)
  return finding(name, 'fail', evidence, '7.2 or newer is needed', install)
}

/** Programs beside QEMU: what for, and the package of Debian. */
const PROGRAMS = [
  { program: 'setpriv', use: 'QEMU without privileges', packageName: 'util-linux', state: 'fail' },
  {
    program: 'prlimit',
    use: 'QEMU without privileges',
    packageName: 'util-linux',
    state: 'fail',
  },
  {
    program: 'dpkg-deb',
    use: 'building guest images',
    packageName: 'dpkg',
    state: 'warn',
  },
] as const

export async function programLeaves(view: HostView): Promise<ProbeLeaf[]> {
  return Promise.all(
    PROGRAMS.map(async ({ program, use, packageName, state }) => {
      const name = { id: `program.${program}`, title: program }
      if (await view.hasProgram(program)) return pass(name, 'found')
      const install = `apt-get install --no-install-recommends ${packageName}`
      return finding(name, state, 'not found', `needed for ${use}`, install)
    }),
  )
}

export async function memoryLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'memory', title: 'Free memory' }
  const bytes = await view.availableMemoryBytes()
  const evidence = `${(bytes / GIB).toFixed(1)} GiB`
  if (bytes >= LEAST_MEMORY_BYTES) return pass(name, evidence)
  return finding(name, 'warn', evidence, 'a guest wants 1 GiB', 'stop other workloads')
}

export async function diskLeaf(view: HostView, home: string): Promise<ProbeLeaf> {
  const name = { id: 'disk', title: 'Free disk space' }
  const bytes = await view.freeDiskBytes(home)
  const evidence = `${(bytes / GIB).toFixed(1)} GiB at ${home}`
  if (bytes >= LEAST_DISK_BYTES) return pass(name, evidence)
  return finding(
    name,
    'warn',
    evidence,
    'guest images and scratch disks want 4 GiB',
    'free space there, or point CLOISTER_HOME to a larger disk',
  )
}
