/** Leaves of IBM Secure Execution on the host (s390x). */
import { hasCpuFlag } from './host-leaves.ts'
import type { HostView } from './host-view.ts'
import { finding, pass, type ProbeLeaf } from './probe-node.ts'

export async function seLeaves(view: HostView): Promise<ProbeLeaf[]> {
  if (view.architecture !== 's390x') {
    const name = { id: 'se.cpu', title: 'Processor' }
    return [finding(name, 'skip', view.architecture, 'se needs another host')]
  }
  return [await cpuLeaf(view), await ultravisorLeaf(view), await qemuLeaf(view)]
}

async function cpuLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'se.cpu', title: 'Processor' }
  const info = (await view.readFile('/proc/cpuinfo')) ?? ''
  const facilities = /^facilities\s*:\s*(.*)$/m.exec(info)?.[1]?.split(/\s+/) ?? []
  if (!hasCpuFlag(info, 'sie'))
    return finding(name, 'fail', 'no sie', 'this system cannot host VMs', 'use another LPAR')
  // stfle bit 158: the ultravisor call facility.
  if (facilities.includes('158')) return pass(name, 'facility 158')
  return finding(
    name,
    'fail',
    'no facility 158',
    'the machine has no Secure Execution',
    'a z15 or LinuxONE III, or newer, with feature code 115 has it',
  )
}

async function ultravisorLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'se.ultravisor', title: 'Ultravisor' }
  const value = await view.readFile('/sys/firmware/uv/prot_virt_host')
  if (value === '1') return pass(name, 'prot_virt_host is 1')
  return finding(
    name,
    'fail',
    value === undefined ? 'no /sys/firmware/uv' : `prot_virt_host is ${value.slice(0, 20)}`,
    'the kernel was started without it',
    'add prot_virt=1 to the kernel command line, run zipl, then reboot',
  )
}

async function qemuLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'se.qemu', title: 'QEMU s390-pv-guest' }
  const found = await view.qemu()
  const evidence =
    found === undefined ? 'no QEMU' : `QEMU ${found.version.major}.${found.version.minor}`
  if (found?.objects.has('s390-pv-guest') === true) return pass(name, evidence)
  return finding(name, 'fail', evidence, 'QEMU 6.0 or newer for s390x is needed', 'install it')
}
