/** What the TEEs would report of a firmware file started by QEMU, with a kernel booted directly or without: for guests that are no image of ours. */
import { createHash } from 'node:crypto'

import { toHex } from '@cloister/verifier/bytes/hex'
import { authenticodeDigest } from '@cloister/verifier/formats/authenticode'
import {
  predictSevEsLaunchDigest,
  predictSevLaunchDigest,
} from '@cloister/verifier/launch/sev-digest'
import type { VcpuType } from '@cloister/verifier/launch/vcpu-types'
import { predictSnpLaunchDigest } from '@cloister/verifier/snp/launch-digest'
import { predictMrTd } from '@cloister/verifier/tdx/mr-td'
import { predictRtmr1, predictRtmr2 } from '@cloister/verifier/tdx/rtmr'
import { isUnifiedKernel, predictUnifiedKernel } from '@cloister/verifier/tdx/unified-kernel'

export const MEASURED_TEES = ['snp', 'sev', 'sev-es', 'tdx'] as const
export type MeasuredTee = (typeof MEASURED_TEES)[number]

export interface DirectBoot {
  readonly firmware: Uint8Array
  /** Absent: the firmware finds what it boots by itself, and it is not part of the digest. */
  readonly kernel?: Uint8Array | undefined
  readonly initrd?: Uint8Array | undefined
  readonly commandLine?: string | undefined
  readonly vcpuType: VcpuType
  readonly vcpus: number
}

export interface Measurement {
  /** `launch digest`, `MRTD`, `RTMR1` or `RTMR2`. */
  readonly register: string
  /** Hex. */
  readonly value: string
}

/** @throws FormatError for firmware without the tables that the TEE needs, or for TDX a kernel that is no EFI application; RangeError for a kernel that it has no room for */
export async function measureFirmware(
  tee: MeasuredTee,
  boot: DirectBoot,
): Promise<readonly Measurement[]> {
  const { firmware, vcpuType, vcpus } = boot
  const input = { firmware, vcpuType, vcpus, kernelHashes: kernelHashes(boot) }
  const launch = (value: Uint8Array) => [{ register: 'launch digest', value: toHex(value) }]
  switch (tee) {
    case 'snp':
      return launch(await predictSnpLaunchDigest(input))
    case 'sev':
      return launch(await predictSevLaunchDigest(input))
    case 'sev-es':
      return launch(await predictSevEsLaunchDigest(input))
    case 'tdx':
      return [
        { register: 'MRTD', value: toHex(await predictMrTd(firmware)) },
        ...(boot.kernel === undefined ? [] : await rtmrs(boot.kernel, boot)),
      ]
    default:
      return tee satisfies never
  }
}

function kernelHashes({ kernel, initrd = new Uint8Array(), commandLine = '' }: DirectBoot) {
  if (kernel === undefined) return undefined
  return { kernelSha256: hash('sha256', kernel), initrdSha256: hash('sha256', initrd), commandLine }
}

/**
 * Of firmware that loads the kernel as its file is (`etc/boot/kernel`, QEMU 10.0 and EDK2 since 2025): older firmware loads what QEMU
 * changed in its header. RTMR0 speaks of the machine, which an event log tells.
 */
async function rtmr1(kernel: Uint8Array): Promise<Measurement> {
  const value = await predictRtmr1(await authenticodeDigest(kernel, 'SHA-384'))
  return { register: 'RTMR1', value: toHex(value) }
}

/** Of a unified kernel, which brings its own initrd and command line, or of a kernel with both. */
async function rtmrs(kernel: Uint8Array, boot: DirectBoot): Promise<Measurement[]> {
  if (!isUnifiedKernel(kernel)) return [await rtmr1(kernel), await rtmr2(boot)]
  const { rtmr1: first, rtmr2: second } = await predictUnifiedKernel(kernel)
  return [
    { register: 'RTMR1', value: toHex(first) },
    { register: 'RTMR2', value: toHex(second) },
  ]
}

/** OVMF tells the kernel's stub where the initrd is by a word at the end of the line. */
async function rtmr2({ initrd, commandLine = '' }: DirectBoot): Promise<Measurement> {
  const line = initrd === undefined ? commandLine : `${commandLine} initrd=initrd`
  const value = await predictRtmr2(line, initrd && hash('sha384', initrd))
  return { register: 'RTMR2', value: toHex(value) }
}

function hash(algorithm: 'sha256' | 'sha384', bytes: Uint8Array): Uint8Array {
  return createHash(algorithm).update(bytes).digest()
}
