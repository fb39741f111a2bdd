/** Launch digests of SEV and SEV-ES (AMD 55766), the two older tiers, and the measurement that their guest owner checks. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { parseOvmf } from '../formats/ovmf.ts'
import { kernelHashTable } from './kernel-hashes.ts'
import type { KernelHashes } from './kernel-hashes.ts'
import { vcpuSignature } from './vcpu-types.ts'
import type { VcpuType } from './vcpu-types.ts'
import { BSP_ADDRESS, encodeVmsa } from './vmsa.ts'

export interface SevLaunchInput {
  readonly firmware: Uint8Array
  readonly kernelHashes?: KernelHashes | undefined
}

export interface SevEsLaunchInput extends SevLaunchInput {
  readonly vcpuType: VcpuType
  readonly vcpus: number
  /** SEV_FEATURES; absent means none. */
  readonly features?: bigint
}

/** One stretch of what is measured. */
export interface SevLaunchPart {
  readonly name: 'firmware' | 'kernelHashes' | 'vcpu'
  readonly bytes: Uint8Array
}

/** SHA-256 over firmware and kernel hashes, 32 bytes. @throws RangeError for kernel hashes that the firmware cannot take */
export async function predictSevLaunchDigest(input: SevLaunchInput): Promise<Uint8Array> {
  return digestOf(await sevLaunchParts(input))
}

/** SHA-256 over firmware, kernel hashes and VMSAs, 32 bytes. @throws RangeError */
export async function predictSevEsLaunchDigest(input: SevEsLaunchInput): Promise<Uint8Array> {
  return digestOf(await sevEsLaunchParts(input))
}

/** Firmware and kernel hashes. @throws as {@link predictSevLaunchDigest} */
export async function sevLaunchParts({
  firmware,
  kernelHashes,
}: SevLaunchInput): Promise<readonly SevLaunchPart[]> {
  const file = { name: 'firmware', bytes: firmware } as const
  if (kernelHashes === undefined) return [file]
  const { hashTableAddress } = parseOvmf(firmware)
  if (hashTableAddress === undefined || hashTableAddress === 0)
    throw new RangeError('the firmware has no room for kernel hashes; use the AmdSev build of OVMF')
  return [file, { name: 'kernelHashes', bytes: await kernelHashTable(kernelHashes) }]
}

/** The same, and the VMSA of each vCPU. @throws RangeError */
export async function sevEsLaunchParts(input: SevEsLaunchInput): Promise<readonly SevLaunchPart[]> {
  const { firmware, vcpus, features: sevFeatures = 0n } = input
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > 4096)
    throw new RangeError(`${vcpus} vCPUs is not between 1 and 4096`)
  const signature = vcpuSignature(input.vcpuType)
  const pages = [encodeVmsa({ address: BSP_ADDRESS, signature, sevFeatures })]
  if (vcpus > 1) {
    const { apResetAddress: address } = parseOvmf(firmware)
    if (address === undefined) throw new RangeError('the firmware names no reset address')
    const application = encodeVmsa({ address, signature, sevFeatures })
    while (pages.length < vcpus) pages.push(application)
  }
  const processors = pages.map((bytes) => ({ name: 'vcpu', bytes }) as const)
  return [...(await sevLaunchParts(input)), ...processors]
}

async function digestOf(parts: readonly SevLaunchPart[]): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-256', concatBytes(...parts.map(({ bytes }) => bytes)))
}

export interface SevMeasureInput {
  /** Transport integrity key of the launch session. */
  readonly tik: Uint8Array
  readonly apiMajor: number
  readonly apiMinor: number
  readonly build: number
  readonly policy: number
  /** 32 bytes. */
  readonly launchDigest: Uint8Array
  /** 16 bytes that the platform chose. */
  readonly nonce: Uint8Array
}

/** The HMAC that LAUNCH_MEASURE returns, 32 bytes. */
export async function sevMeasure(input: SevMeasureInput): Promise<Uint8Array> {
  const { tik, apiMajor, apiMinor, build, policy, launchDigest, nonce } = input
  const head = new Uint8Array(8)
  head.set([0x04, apiMajor, apiMinor, build])
  new DataView(head.buffer).setUint32(4, policy, true)
  return runtimeCrypto.hmacSha256(tik, concatBytes(head, launchDigest, nonce))
}
