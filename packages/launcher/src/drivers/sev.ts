/**
 * AMD SEV and SEV-ES: QEMU's `sev-guest`. The older tiers: memory is encrypted, but neither its integrity is protected nor can the guest ask
 * for a report. What the owner can have is the launch measurement and a secret injected against it.
 */
import { CloisterError } from '@cloister/protocol/error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { isZero } from '@cloister/verifier/bytes/reader'
import { OVMF_GUID, parseOvmf } from '@cloister/verifier/formats/ovmf'
import {
  predictSevEsLaunchDigest,
  predictSevLaunchDigest,
} from '@cloister/verifier/launch/sev-digest'
import { isFirmwareBoot } from '../boot-files.ts'
import type { HostView } from '../probe/host-view.ts'
import { SEV_TIERS, sevLeaves } from '../probe/sev-leaves.ts'
import type { VmSpec } from '../vm-spec.ts'
import type { LaunchPrediction, TeeDriver } from './driver.ts'
import { firmwareError, hashKernel, readFirmware, vcpuTypeOf } from './measured-files.ts'
import { requireHost } from './require-host.ts'
import { exchangeSecret, firmwareApi, requireSev } from './sev-state.ts'

const POLICY = { noDebug: 1n, noKeySharing: 2n, es: 4n, noSend: 8n, domain: 16n, sev: 32n } as const
/** Never debugged, key never shared, never sent to another host. */
const DEFAULT_POLICY = POLICY.noDebug | POLICY.noKeySharing | POLICY.noSend
/** Of a guest whose spec names none. */
export const SEV_POLICIES = {
  sev: Number(DEFAULT_POLICY),
  'sev-es': Number(DEFAULT_POLICY | POLICY.es),
} as const

export const sev: TeeDriver = sevDriver('sev')
export const sevEs: TeeDriver = sevDriver('sev-es')

function sevDriver(id: 'sev' | 'sev-es'): TeeDriver {
  const driver: TeeDriver = {
    id,
    title: id === 'sev' ? 'AMD SEV (no integrity, no report)' : 'AMD SEV-ES (no report)',
    isHardware: true,
    devices: ['/dev/sev'],
    pinsMemory: true,
    probe: (view, imageDirectory) =>
      sevLeaves(view, id === 'sev' ? SEV_TIERS.sev : SEV_TIERS.sevEs, imageDirectory),
    async arguments(spec, host) {
      const policy = checkedPolicy(spec, id)
      const cpu = vcpuTypeOf(spec)
      await Promise.all([requireHost(driver, host), predict(spec, id)])
      if (spec.sevSession !== undefined) await requireSecretArea(spec)
      const cBit = await cBitPosition(host.view)
      return {
        board: 'q35',
        cpu,
        machine: ['kernel-irqchip=split', 'confidential-guest-support=sev0'],
        objects: ({ sevCertificate, sevSession }) => [
          [
            'sev-guest,id=sev0',
            `cbitpos=${cBit},reduced-phys-bits=1`,
            `policy=0x${policy.toString(16)}`,
            ...(isFirmwareBoot(spec.boot) ? [] : ['kernel-hashes=on']),
            ...(sevCertificate === undefined
              ? []
              : [`dh-cert-file=/proc/self/fd/${sevCertificate}`]),
            ...(sevSession === undefined ? [] : [`session-file=/proc/self/fd/${sevSession}`]),
          ].join(','),
        ],
        firmware: 'pflash',
        hasTeePort: false,
      }
    },
    async launched(qmp, spec) {
      const answer = await requireSev(qmp, { policy: Number(checkedPolicy(spec, id)) })
      if (spec.sevSession !== undefined)
        await exchangeSecret(qmp, spec.sevSession, firmwareApi(answer))
    },
    predict: (spec) => predict(spec, id),
  }
  return driver
}

/** `launchDigest`: what the measurement of the launch is made over, 32 bytes. */
async function predict(spec: VmSpec, id: 'sev' | 'sev-es'): Promise<LaunchPrediction> {
  const vcpuType = vcpuTypeOf(spec)
  const { boot, cpus } = spec
  // A boot by firmware is measured as far as the firmware's code: neither its variables nor what it starts.
  const [firmware, kernelHashes] = await Promise.all([
    readFirmware(isFirmwareBoot(boot) ? boot.code : boot.firmware),
    isFirmwareBoot(boot) ? undefined : hashKernel(spec),
  ])
  const launch = { firmware, ...(kernelHashes && { kernelHashes }) }
  try {
    const digest =
      id === 'sev'
        ? await predictSevLaunchDigest(launch)
        : await predictSevEsLaunchDigest({ ...launch, vcpuType, vcpus: cpus })
    return { launchDigest: toHex(digest) }
  } catch (error) {
    throw firmwareError(error)
  }
}

/** Where QEMU puts a launch secret, and the guest's kernel finds it. @throws CloisterError `tee.firmware-unfit` */
async function requireSecretArea({ boot }: VmSpec): Promise<void> {
  const firmware = await readFirmware(isFirmwareBoot(boot) ? boot.code : boot.firmware)
  const area = parseOvmf(firmware).table.get(OVMF_GUID.launchSecret)
  if (area !== undefined && !isZero(area)) return
  throw new CloisterError('tee.firmware-unfit', {
    received: 'the firmware has no area for a launch secret; use the AmdSev build of OVMF',
  })
}

function checkedPolicy(spec: VmSpec, id: 'sev' | 'sev-es'): bigint {
  const tier = id === 'sev-es' ? POLICY.es : 0n
  const policy = spec.guestPolicy ?? BigInt(SEV_POLICIES[id])
  const isWrong =
    policy < 0n ||
    policy >= 1n << 32n ||
    (policy & POLICY.es) !== tier ||
    ((policy & POLICY.noDebug) === 0n && spec.mode !== 'debug')
  if (!isWrong) return policy
  throw new CloisterError('vm.spec-invalid', {
    where: 'guestPolicy',
    received: `0x${policy.toString(16)}`,
    expected: `NODBG (bit 0) unless in mode debug, ES (bit 2) ${id === 'sev' ? 'off' : 'on'}`,
  })
}

/** CPUID 0x8000001F EBX, which Node cannot ask for: 47 on the first two generations (family 0x17), 51 since. */
async function cBitPosition(view: HostView): Promise<number> {
  const info = (await view.readFile('/proc/cpuinfo')) ?? ''
  const family = /^cpu family\s*:\s*(\d+)$/m.exec(info)?.[1]
  return family === '23' ? 47 : 51
}
