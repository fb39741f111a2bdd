/** Leaves of AMD's SEV family on the host. Each tier needs those below it. */
import { join } from 'node:path'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseOvmf } from '@cloister/verifier/formats/ovmf'
import { isAtLeast } from '../qemu-capabilities.ts'
import { hasCpuFlag } from './host-leaves.ts'
import type { HostView } from './host-view.ts'
import { exhaustedCgroup, keySlots, moduleSwitch } from './kernel-parameters.ts'
import { cgroupFinding, finding, pass, type ProbeLeaf } from './probe-node.ts'

/** As the guest image names it. */
const FIRMWARE_FILE = 'OVMF.amdsev.fd'

export interface SevTier {
  readonly id: 'sev' | 'sev-es' | 'snp'
  /** Flag in /proc/cpuinfo and parameter of kvm_amd, which have one name. */
  readonly flag: 'sev' | 'sev_es' | 'sev_snp'
  /** Kind of slot that a guest takes: SNP guests take those of SEV-ES. */
  readonly slots: 'sev' | 'sev_es'
  readonly object: 'sev-guest' | 'sev-snp-guest'
  readonly qemu: readonly [number, number]
  readonly kernel: readonly [number, number]
  /** The first processors that have it. */
  readonly since: string
}

export const SEV_TIERS = {
  sev: {
    id: 'sev',
    flag: 'sev',
    slots: 'sev',
    object: 'sev-guest',
    qemu: [7, 2],
    kernel: [4, 16],
    since: 'every EPYC has SEV',
  },
  sevEs: {
    id: 'sev-es',
    flag: 'sev_es',
    slots: 'sev_es',
    object: 'sev-guest',
    qemu: [7, 2],
    kernel: [5, 11],
    since: 'every EPYC has SEV-ES',
  },
  snp: {
    id: 'snp',
    flag: 'sev_snp',
    slots: 'sev_es',
    object: 'sev-snp-guest',
    qemu: [9, 1],
    kernel: [6, 11],
    since: 'an EPYC of the third generation (Milan) or newer has SNP',
  },
} as const satisfies Readonly<Record<string, SevTier>>

/** @param imageDirectory - of the guest image whose firmware is looked at; absent: firmware is not */
export async function sevLeaves(
  view: HostView,
  tier: SevTier,
  imageDirectory?: string,
): Promise<ProbeLeaf[]> {
  const info = (await view.readFile('/proc/cpuinfo')) ?? ''
  if (!/^vendor_id\s*:\s*AuthenticAMD$/m.test(info)) {
    const name = { id: `${tier.id}.cpu`, title: 'Processor' }
    return [finding(name, 'skip', 'not an AMD processor', `${tier.id} needs another host`)]
  }
  const cpu = cpuLeaf(info, tier)
  const qemu = await qemuObjectLeaf(view, tier)
  // What the processor does not show, no kernel can offer: one finding, not four.
  if (cpu.state === 'fail') return [cpu, qemu]
  return [
    cpu,
    await moduleLeaf(view, tier),
    await deviceLeaf(view, tier),
    await slotLeaf(view, tier),
    qemu,
    ...(imageDirectory === undefined ? [] : [await firmwareLeaf(view, tier, imageDirectory)]),
  ]
}

async function firmwareLeaf(
  view: HostView,
  { id }: SevTier,
  imageDirectory: string,
): Promise<ProbeLeaf> {
  const name = { id: `${id}.firmware`, title: 'Firmware of the guest image' }
  const path = join(imageDirectory, FIRMWARE_FILE)
  const firmware = await view.readBytes(path)
  const build = 'cloister guest-image build --refresh'
  if (firmware === undefined)
    return finding(name, 'warn', `no ${path}`, 'the image is not built, or without it', build)
  if (hasRoomForHashes(firmware)) return pass(name, 'checks kernel, initrd and command line')
  return finding(name, 'fail', path, 'it has no table for the hashes of the kernel', build)
}

function hasRoomForHashes(firmware: Uint8Array): boolean {
  try {
    const { hashTableAddress, sections } = parseOvmf(firmware)
    return (hashTableAddress ?? 0) !== 0 && sections.length > 0
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

function cpuLeaf(info: string, { id, flag, since }: SevTier): ProbeLeaf {
  const name = { id: `${id}.cpu`, title: 'Processor' }
  const model = /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? 'AMD'
  if (hasCpuFlag(info, flag)) return pass(name, `${model}, ${flag}`)
  return finding(
    name,
    'fail',
    model,
    `the kernel shows no ${flag}: the processor lacks it (${since}) or the firmware hides it`,
    'in the firmware, under CPU or NBIO options: SMEE and SEV-ES ASID space limit on, SEV-SNP support enabled',
  )
}

async function moduleLeaf(view: HostView, tier: SevTier): Promise<ProbeLeaf> {
  const { id, flag, kernel } = tier
  const name = { id: `${id}.kvm`, title: `kvm_amd ${flag}` }
  const value = await moduleSwitch(view, 'kvm_amd', flag)
  if (value === true) return pass(name, 'on')
  if (value === undefined)
    return finding(
      name,
      'fail',
      'no such parameter',
      `kvm_amd is not loaded, or the kernel is older than ${kernel.join('.')}`,
      `modprobe kvm_amd ${flag}=1`,
      `install a kernel of ${kernel.join('.')} or newer`,
    )
  // The processor shows it and the switch is off: in nearly every case the RMP is missing.
  if (id === 'snp')
    return finding(
      name,
      'fail',
      'off',
      'the firmware reserved no reverse map table (RMP) that covers all memory, or IOMMU is not in the mode that SNP needs',
      'in the firmware: SNP Memory (RMP Table) Coverage enabled, IOMMU enabled',
      'on the kernel command line: no iommu=pt and no amd_iommu=off; then reboot',
      'journalctl -k -g "SEV-SNP" tells what the kernel found',
    )
  return finding(
    name,
    'fail',
    'off',
    'the module was loaded without it',
    `echo "options kvm_amd sev=1 sev_es=1" > /etc/modprobe.d/cloister-sev.conf, then reboot`,
  )
}

async function deviceLeaf(view: HostView, { id }: SevTier): Promise<ProbeLeaf> {
  const name = { id: `${id}.device`, title: '/dev/sev' }
  const access = await view.deviceAccess('/dev/sev')
  if (access === 'usable') return pass(name, 'QEMU may open it')
  if (access === 'denied')
    return finding(
      name,
      'fail',
      'closed to QEMU, which runs without privileges',
      'QEMU starts the guest through it',
      'groupadd -f -r kvm && chgrp kvm /dev/sev && chmod 660 /dev/sev',
    )
  return finding(
    name,
    'fail',
    'absent',
    'the driver of the secure processor did not start',
    'modprobe ccp',
    'journalctl -k -g ccp tells why',
  )
}

async function slotLeaf(view: HostView, { id, slots: kind }: SevTier): Promise<ProbeLeaf> {
  const name = { id: `${id}.asids`, title: 'Encryption keys (ASIDs)' }
  const slots = await keySlots(view, kind)
  if (slots === undefined)
    return finding(name, 'unknown', 'misc.capacity lists none', 'the cgroup controller is off')
  const { capacity, used } = slots
  const evidence = used === undefined ? `${capacity}` : `${capacity}, ${used} in use`
  if (capacity === 0)
    return finding(
      name,
      'fail',
      evidence,
      'the firmware gives this tier no keys',
      'in the firmware: raise SEV-ES ASID space limit above 1',
    )
  if (used !== undefined && used >= capacity)
    return finding(name, 'fail', evidence, 'all keys are in use', 'stop another confidential VM')
  const limit = await exhaustedCgroup(view, kind)
  if (limit !== undefined) return cgroupFinding(name, kind, limit)
  return pass(name, evidence)
}

async function qemuObjectLeaf(view: HostView, { id, object, qemu }: SevTier): Promise<ProbeLeaf> {
  const name = { id: `${id}.qemu`, title: `QEMU ${object}` }
  const wanted = qemu.join('.')
  const found = await view.qemu()
  if (found === undefined)
    return finding(name, 'fail', 'no QEMU', `QEMU ${wanted} or newer is needed`, 'cloister doctor')
  const { major, minor } = found.version
  // The list of objects decides: distributions carry patches to older versions.
  if (found.objects.has(object)) return pass(name, `QEMU ${major}.${minor}`)
  const reason = isAtLeast(found.version, qemu[0], qemu[1])
    ? 'it was built without the object'
    : `QEMU ${wanted} or newer is needed`
  const fix = `install QEMU ${wanted} or newer, on Debian 12 from bookworm-backports`
  return finding(name, 'fail', `QEMU ${major}.${minor}`, reason, fix)
}
