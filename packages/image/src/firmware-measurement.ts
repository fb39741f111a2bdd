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
import { replayEvents, rtmr1Events, rtmr2Events } from '@cloister/verifier/tdx/rtmr'
import {
  isUnifiedKernel,
  unifiedKernelEvents,
  type UnifiedKernelEvents,
} from '@cloister/verifier/tdx/unified-kernel'

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

export function kernelHashes({ kernel, initrd = new Uint8Array(), commandLine = '' }: DirectBoot) {
  if (kernel === undefined) return undefined
  return { kernelSha256: hash('sha256', kernel), initrdSha256: hash('sha256', initrd), commandLine }
}

async function rtmrs(kernel: Uint8Array, boot: DirectBoot): Promise<Measurement[]> {
  const { rtmr1, rtmr2 } = await kernelEvents(kernel, boot)
  return [
    { register: 'RTMR1', value: toHex(await replayEvents(rtmr1)) },
    { register: 'RTMR2', value: toHex(await replayEvents(rtmr2)) },
  ]
}

/**
 * What a TD's firmware and stubs measure of a unified kernel, which brings its own initrd and command line, or of a kernel with both. Of firmware that loads
 * the kernel as its file is (`etc/boot/kernel`, QEMU 10.0 and EDK2 since 2025): older firmware loads what QEMU changed in its header. RTMR0 speaks of the
 * machine, which an event log tells.
 */
export async function kernelEvents(
  kernel: Uint8Array,
  { initrd, commandLine = '' }: DirectBoot,
): Promise<UnifiedKernelEvents> {
  if (isUnifiedKernel(kernel)) return await unifiedKernelEvents(kernel)
  // OVMF tells the kernel's stub where the initrd is by a word at the end of the line.
  const line = initrd === undefined ? commandLine : `${commandLine} initrd=initrd`
  return {
    rtmr1: await rtmr1Events(await authenticodeDigest(kernel, 'SHA-384')),
    rtmr2: await rtmr2Events(line, initrd && hash('sha384', initrd)),
  }
}

function hash(algorithm: 'sha256' | 'sha384', bytes: Uint8Array): Uint8Array {
  return createHash(algorithm).update(bytes).digest()
}
