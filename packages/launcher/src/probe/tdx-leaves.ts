/** Leaves of Intel TDX on the host. */
import { join } from 'node:path'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { OVMF_GUID, parseOvmf } from '@cloister/verifier/formats/ovmf'
import { hasCpuFlag } from './host-leaves.ts'
import type { HostView } from './host-view.ts'
import { exhaustedCgroup, keySlots, moduleSwitch } from './kernel-parameters.ts'
import { cgroupFinding, finding, pass, type ProbeLeaf } from './probe-node.ts'

/** Where Intel's quote generation service listens when it is set to a unix socket. */
export const QGS_SOCKET = '/var/run/tdx-qgs/qgs.socket'

/** As the guest image names them. */
const FIRMWARE_FILE = 'OVMF.inteltdx.fd'
const STUB_FILE = 'linuxx64.efi.stub'

/** @param imageDirectory - of the guest image whose firmware is looked at; absent: firmware is not */
export async function tdxLeaves(view: HostView, imageDirectory?: string): Promise<ProbeLeaf[]> {
  const info = (await view.readFile('/proc/cpuinfo')) ?? ''
  const cpu = { id: 'tdx.cpu', title: 'Processor' }
  if (!/^vendor_id\s*:\s*GenuineIntel$/m.test(info))
    return [finding(cpu, 'skip', 'not an Intel processor', 'tdx needs another host')]
  const qemu = await qemuLeaf(view)
  if (!hasCpuFlag(info, 'tdx_host_platform'))
    return [
      finding(
        cpu,
        'fail',
        'no tdx_host_platform',
        'the processor lacks TDX or the firmware hides it',
        'a Xeon of the fifth generation or newer has it, some of the fourth',
        'in the firmware: TME, TME-MT and TDX on, TDX key split above 0, SEAM loader on, all DIMM slots of each socket alike',
      ),
      qemu,
    ]
  return [
    pass(cpu, 'tdx_host_platform'),
    await moduleLeaf(view),
    await slotLeaf(view),
    qemu,
    await quoteLeaf(view),
    ...(imageDirectory === undefined ? [] : await imageLeaves(view, imageDirectory)),
  ]
}

/** Whether a TD can start with it. */
export function hasTdxMetadata(firmware: Uint8Array): boolean {
  try {
    return parseOvmf(firmware).table.has(OVMF_GUID.tdxMetadata)
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

async function imageLeaves(view: HostView, imageDirectory: string): Promise<ProbeLeaf[]> {
  const build = 'cloister guest-image build --refresh'
  const isMissing = 'the image is not built, or without it'
  const firmware = { id: 'tdx.firmware', title: 'Firmware of the guest image' }
  const stub = { id: 'tdx.stub', title: 'EFI stub of the guest image' }
  const [firmwarePath, stubPath] = [FIRMWARE_FILE, STUB_FILE].map((file) =>
    join(imageDirectory, file),
  ) as [string, string]
  const [firmwareBytes, stubBytes] = await Promise.all([
    view.readBytes(firmwarePath),
    view.readBytes(stubPath),
  ])
  return [
    firmwareBytes === undefined
      ? finding(firmware, 'warn', `no ${firmwarePath}`, isMissing, build)
      : hasTdxMetadata(firmwareBytes)
        ? pass(firmware, 'has TDX metadata')
        : finding(firmware, 'fail', firmwarePath, 'it has no TDX metadata: no TD starts it', build),
    stubBytes === undefined
      ? finding(stub, 'warn', `no ${stubPath}`, isMissing, build)
      : pass(stub, 'makes one kernel of kernel, initrd and command line'),
  ]
}

async function moduleLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'tdx.kvm', title: 'kvm_intel tdx' }
  const value = await moduleSwitch(view, 'kvm_intel', 'tdx')
  if (value === true) return pass(name, 'on')
  return finding(
    name,
    'fail',
    value === false ? 'off' : 'no such parameter',
    'the kernel was started without TDX, or is older than 6.16',
    'add kvm_intel.tdx=1 nohibernate to the kernel command line, then reboot',
    'journalctl -k -g tdx tells whether the TDX module was initialised',
  )
}

async function slotLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'tdx.keys', title: 'Key ids' }
  const slots = await keySlots(view, 'tdx')
  if (slots === undefined)
    return finding(name, 'unknown', 'misc.capacity lists none', 'the cgroup controller is off')
  const { capacity, used } = slots
  const evidence = used === undefined ? `${capacity}` : `${capacity}, ${used} in use`
  if (capacity > 0 && (used === undefined || used < capacity)) {
    const limit = await exhaustedCgroup(view, 'tdx')
    return limit === undefined ? pass(name, evidence) : cgroupFinding(name, 'tdx', limit)
  }
  return finding(
    name,
    'fail',
    evidence,
    'no key id is left',
    'stop another confidential VM',
    'in the firmware: raise the TDX key split',
  )
}

async function qemuLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'tdx.qemu', title: 'QEMU tdx-guest' }
  const found = await view.qemu()
  const evidence =
    found === undefined ? 'no QEMU' : `QEMU ${found.version.major}.${found.version.minor}`
  if (found?.objects.has('tdx-guest') === true) return pass(name, evidence)
  return finding(
    name,
    'fail',
    evidence,
    'QEMU 10.1 or newer is needed, built with TDX',
    'install QEMU 10.1 or newer',
  )
}

/** Without it the guest runs and cannot prove itself to anybody. */
async function quoteLeaf(view: HostView): Promise<ProbeLeaf> {
  const name = { id: 'tdx.quotes', title: 'Quote generation service' }
  const access = await view.deviceAccess(QGS_SOCKET)
  if (access === 'usable') return pass(name, QGS_SOCKET)
  if (access === 'denied')
    return finding(
      name,
      'fail',
      `${QGS_SOCKET} is closed to QEMU, which runs without privileges`,
      'guests get no quotes',
      `chmod 666 ${QGS_SOCKET}, or group read and write for a group other than root's, at each start of qgsd`,
    )
  return finding(
    name,
    'fail',
    `no ${QGS_SOCKET}`,
    'without the service guests get no quotes',
    "install Intel's tdx-qgs, set it to its unix socket, and register the platform: systemctl enable --now qgsd",
  )
}
