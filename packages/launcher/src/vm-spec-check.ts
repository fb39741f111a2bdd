/** Checks of a VM's description before anything is made for it. */
import { isIPv4 } from 'node:net'
import { isAbsolute } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { LIMITS } from '@cloister/protocol/limits'
import { isFirmwareBoot } from './boot-files.ts'
import { checkMachine } from './machine/machine-check.ts'
import { TEE_IDS, type VmSpec } from './vm-spec.ts'

/** Linux keeps 2048 bytes of the command line on x86 (COMMAND_LINE_SIZE). */
const MAX_COMMAND_LINE_BYTES = 2047

/** @throws CloisterError `vm.spec-invalid`, `tee.unknown`, `tee.mode-unfit`, `tee.machine-unfit` */
export function checkSpec(spec: VmSpec): void {
  if (spec.tee !== 'none' && !TEE_IDS.includes(spec.tee))
    throw new CloisterError('tee.unknown', { received: spec.tee })
  const problem = RULES.find((rule) => !rule.holds(spec))
  if (problem !== undefined) throw new CloisterError('vm.spec-invalid', { where: problem.where })
  checkMachine(spec)
  // INVARIANT: a simulated guest never runs a command line that hardware evidence could carry, nor the reverse.
  const isSimulated = spec.tee === 'simulated'
  if (spec.mode === 'hardware' ? isSimulated : spec.mode === 'simulated' && !isSimulated)
    throw new CloisterError('tee.mode-unfit', { received: `${spec.mode} with ${spec.tee}` })
}

const RULES: readonly { readonly where: string; holds(spec: VmSpec): boolean }[] = [
  { where: 'id', holds: ({ id }) => /^[a-z0-9-]{1,20}$/.test(id) },
  { where: 'runtimeDirectory', holds: ({ runtimeDirectory }) => isAbsolute(runtimeDirectory) },
  { where: 'stateDirectory', holds: ({ stateDirectory }) => isAbsolute(stateDirectory) },
  { where: 'boot', holds: ({ boot }) => pathsOf(boot).every((path) => isAbsolute(path)) },
  { where: 'cpus', holds: ({ cpus }) => isWithin(cpus, 1, 255) },
  { where: 'memoryMiB', holds: ({ memoryMiB }) => isWithin(memoryMiB, 128, 1 << 20) },
  { where: 'scratchMiB', holds: ({ scratchMiB }) => isWithin(scratchMiB, 0, 1 << 24) },
  { where: 'hostData', holds: ({ hostData }) => hostData.length === 32 },
  { where: 'vcpuType', holds: ({ vcpuType = 'x' }) => /^[A-Za-z0-9_.-]{1,32}$/.test(vcpuType) },
  {
    where: 'commandLine',
    holds: ({ commandLine }) =>
      !commandLine.includes('\0') && Buffer.byteLength(commandLine) <= MAX_COMMAND_LINE_BYTES,
  },
  {
    where: 'initdataDisk',
    holds: ({ initdataDisk: disk }) =>
      disk === undefined ||
      (disk.length % 512 === 0 && disk.length > 0 && disk.length <= LIMITS.initdataDiskBytes + 512),
  },
  {
    where: 'ports',
    holds: ({ ports }) =>
      ports.length <= 64 &&
      ports.every(
        ({ hostAddress = '127.0.0.1', host, guest }) =>
          isIPv4(hostAddress) && isWithin(host, 1, 65535) && isWithin(guest, 1, 65535),
      ),
  },
]

function pathsOf(boot: VmSpec['boot']): string[] {
  const paths = isFirmwareBoot(boot)
    ? [boot.code, boot.variables]
    : [boot.kernel, boot.initrd, boot.root, boot.firmware]
  return paths.filter((path) => path !== undefined)
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most
}
