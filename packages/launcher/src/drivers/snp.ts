/** AMD SEV-SNP: QEMU's `sev-snp-guest` (9.1 and newer), booted by the AmdSev firmware, which checks kernel, initrd and command line. */
import { CloisterError } from '@cloister/protocol/error'
import { toBase64 } from '@cloister/verifier/bytes/base64'
import { toHex } from '@cloister/verifier/bytes/hex'
import { predictSnpLaunchDigest } from '@cloister/verifier/snp/launch-digest'
import { bootFiles } from '../boot-files.ts'
import { SEV_TIERS, sevLeaves } from '../probe/sev-leaves.ts'
import type { IdBlockPair, VmSpec } from '../vm-spec.ts'
import type { LaunchPrediction, TeeDriver } from './driver.ts'
import { firmwareError, hashKernel, readFirmware, vcpuTypeOf } from './measured-files.ts'
import { requireHost } from './require-host.ts'
import { requireSev } from './sev-state.ts'

/** SMT allowed, and bit 17, which must be one. No debugging, no migration agent. */
const DEFAULT_POLICY = 0x30000n
const POLICY = { mustBeOne: 1n << 17n, migrationAgent: 1n << 18n, debug: 1n << 19n } as const

export const snp: TeeDriver = {
  id: 'snp',
  title: 'AMD SEV-SNP',
  isHardware: true,
  devices: ['/dev/sev'],
  pinsMemory: false,
  probe: (view, imageDirectory) => sevLeaves(view, SEV_TIERS.snp, imageDirectory),
  async arguments(spec, host) {
    const policy = checkedPolicy(spec)
    const cpu = vcpuTypeOf(spec)
    // Before QEMU would fail with a sentence: the firmware must have room for the hashes.
    await Promise.all([requireHost(snp, host), predictSnp(spec)])
    const guest = [
      'sev-snp-guest,id=snp0',
      // Every processor that has SNP keeps the C-bit there; reduced-phys-bits is what the guest sees, not the host.
      'cbitpos=51,reduced-phys-bits=1',
      `policy=0x${policy.toString(16)}`,
      'kernel-hashes=on',
      `host-data=${toBase64(spec.hostData)}`,
      ...idBlockOptions(spec.idBlock),
    ].join(',')
    return {
      board: 'q35',
      cpu,
      machine: ['kernel-irqchip=split', 'confidential-guest-support=snp0', 'memory-backend=ram0'],
      objects: () => [`memory-backend-memfd,id=ram0,size=${spec.memoryMiB}M,share=on`, guest],
      firmware: 'bios',
      hasTeePort: false,
    }
  },
  async launched(qmp, spec) {
    const policy = Number(checkedPolicy(spec))
    await requireSev(qmp, { 'sev-type': 'sev-snp', 'snp-policy': policy })
  },
  predict: predictSnp,
}

/** `measurement`: the launch digest; `hostData`: as given. */
export async function predictSnp(spec: VmSpec): Promise<LaunchPrediction> {
  const vcpuType = vcpuTypeOf(spec)
  const [firmware, kernelHashes] = await Promise.all([
    readFirmware(bootFiles(spec).firmware),
    hashKernel(spec),
  ])
  try {
    const launch = { firmware, kernelHashes, vcpuType, vcpus: spec.cpus }
    const measurement = toHex(await predictSnpLaunchDigest(launch))
    return { measurement, hostData: toHex(spec.hostData) }
  } catch (error) {
    throw firmwareError(error)
  }
}

function checkedPolicy({ guestPolicy: policy = DEFAULT_POLICY, mode }: VmSpec): bigint {
  const isWrong =
    policy < 0n ||
    policy >= 1n << 64n ||
    (policy & POLICY.mustBeOne) === 0n ||
    (policy & POLICY.migrationAgent) !== 0n ||
    ((policy & POLICY.debug) !== 0n && mode !== 'debug')
  if (!isWrong) return policy
  throw new CloisterError('vm.spec-invalid', {
    where: 'guestPolicy',
    received: `0x${policy.toString(16)}`,
    expected: 'bit 17 set, no migration agent (18), debugging (19) only in mode debug',
  })
}

function idBlockOptions(pair: IdBlockPair | undefined): string[] {
  if (pair === undefined) return []
  const { block, authentication, hasAuthorKey } = pair
  if (block.length !== 96 || authentication.length !== 4096)
    throw new CloisterError('vm.spec-invalid', { where: 'idBlock' })
  return [
    `id-block=${toBase64(block)}`,
    `id-auth=${toBase64(authentication)}`,
    ...(hasAuthorKey ? ['author-key-enabled=on'] : []),
  ]
}
