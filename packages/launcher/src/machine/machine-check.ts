/** Checks of what a VM has beyond a container's guest, and of what its TEE can give. */
import { isAbsolute } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { isFirmwareBoot } from '../boot-files.ts'
import type { MachineHardware, VmSpec } from '../vm-spec.ts'

/** @throws CloisterError `vm.spec-invalid`, `tee.machine-unfit` */
export function checkMachine(spec: VmSpec): void {
  const { boot, machine, tee } = spec
  const invalid = (where: string) => new CloisterError('vm.spec-invalid', { where })
  if (isFirmwareBoot(boot) && machine === undefined) throw invalid('machine')
  const unfit = UNFIT.find((rule) => rule.holds(spec))
  if (unfit !== undefined)
    throw new CloisterError('tee.machine-unfit', { where: tee, received: unfit.what })
  if (tee === 'none' && (!isFirmwareBoot(boot) || spec.mode !== 'hardware')) throw invalid('boot')
  if (machine === undefined) return
  const problem = RULES.find((rule) => !rule.holds(machine))
  if (problem !== undefined) throw invalid(problem.where)
  if (machine.network.kind === 'bridge' && spec.ports.length > 0) throw invalid('ports')
}

/** What a TEE cannot give. */
const UNFIT: readonly { readonly what: string; holds(spec: VmSpec): boolean }[] = [
  {
    what: 'a boot by firmware',
    holds: ({ tee, boot }) => isFirmwareBoot(boot) && !['none', 'sev', 'sev-es'].includes(tee),
  },
  {
    // There is no system management mode with encrypted registers, so the guest could write its own keys.
    what: 'Secure Boot',
    holds: ({ tee, boot }) => isFirmwareBoot(boot) && boot.secureBoot && tee === 'sev-es',
  },
  {
    what: 'a vTPM',
    holds: ({ tee, machine }) => machine?.vtpm !== undefined && tee === 'se',
  },
]

const RULES: readonly { readonly where: string; holds(machine: MachineHardware): boolean }[] = [
  {
    where: 'machine.systemDisk',
    holds: ({ systemDisk: { path, format } }) =>
      isAbsolute(path) && (format === 'raw' || format === 'qcow2'),
  },
  {
    where: 'machine.seedDisk',
    holds: ({ seedDisk }) => seedDisk === undefined || isAbsolute(seedDisk.path),
  },
  {
    where: 'machine.vtpm',
    holds: ({ vtpm }) =>
      vtpm === undefined || (isAbsolute(vtpm.stateDirectory) && isAbsolute(vtpm.key)),
  },
  {
    where: 'machine.network',
    holds: ({ network }) =>
      network.kind === 'user' ||
      (network.kind === 'bridge' && isInterfaceName(network.bridge) && isUnicastMac(network.mac)),
  },
]

/** As the kernel takes them (dev_valid_name), and no more. */
function isInterfaceName(name: string): boolean {
  return /^[A-Za-z0-9_.-]{1,15}$/.test(name) && name !== '.' && name !== '..'
}

/** The lowest bit of the first byte tells groups. */
function isUnicastMac(mac: string): boolean {
  return /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(mac) && (parseInt(mac.slice(0, 2), 16) & 1) === 0
}
