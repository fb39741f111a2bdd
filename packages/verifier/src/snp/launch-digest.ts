/**
 * Predicts MEASUREMENT of an SNP report for QEMU and KVM: firmware pages, the sections its metadata names, one VMSA per vCPU. The
 * firmware and section part is worked out once ({@link prepareSnpLaunch}); a further vCPU variant then costs a few hashes.
 */
import { runtimeCrypto } from '#crypto'
import { parseOvmf } from '../formats/ovmf.ts'
import type { OvmfMetadata, SevSection } from '../formats/ovmf.ts'
import { kernelHashTable } from '../launch/kernel-hashes.ts'
import type { KernelHashes } from '../launch/kernel-hashes.ts'
import { PAGE_SIZE, PAGE_TYPE, SnpPageChain, VMSA_GPA } from '../launch/snp-page-chain.ts'
import { vcpuSignature } from '../launch/vcpu-types.ts'
import type { VcpuType } from '../launch/vcpu-types.ts'
import { BSP_ADDRESS, SEV_FEATURES, encodeVmsa } from '../launch/vmsa.ts'

const SECTION_TYPE = {
  memory: 1,
  secrets: 2,
  cpuid: 3,
  svsmCallingArea: 4,
  kernelHashes: 0x10,
} as const
const FOUR_GIB = 0x1_0000_0000n
const MAX_VCPUS = 4096

export interface SnpLaunchInput {
  /** The whole firmware file, e.g. `OVMF.amdsev.fd`. */
  readonly firmware: Uint8Array
  /** Absent: no direct kernel boot. Given: the firmware must have room for the hashes. */
  readonly kernelHashes?: KernelHashes | undefined
  /** The firmware's own part from {@link hashSnpFirmware}, to save that work for other kernels. */
  readonly firmwareSeed?: Uint8Array | undefined
}

export interface SnpVcpus {
  readonly vcpuType: VcpuType
  readonly vcpus: number
  /** SEV_FEATURES; absent means SNP alone, as QEMU 9.1 and later. */
  readonly features?: bigint
}

/** One group of pages and the digest once it is measured: what two launches differ in shows at the first step that differs. */
export interface SnpLaunchStep {
  readonly name: 'firmware' | keyof typeof SECTION_TYPE
  readonly gpa: bigint
  readonly size: number
  /** 48 bytes. */
  readonly digest: Uint8Array
}

/** A guest measured up to its vCPUs. */
export interface SnpLaunch {
  /** In order; the vCPUs come after the last one. */
  readonly steps: readonly SnpLaunchStep[]
  /** The launch digest, 48 bytes. @throws RangeError for a vCPU count out of range or an unknown type */
  digest(vcpus: SnpVcpus): Promise<Uint8Array<ArrayBuffer>>
}

/**
 * The launch digest, 48 bytes.
 *
 * @throws FormatError when the firmware's tables are malformed
 * @throws RangeError for kernel hashes that the firmware cannot take, and as {@link SnpLaunch.digest}
 */
export async function predictSnpLaunchDigest(
  input: SnpLaunchInput & SnpVcpus,
): Promise<Uint8Array<ArrayBuffer>> {
  return (await prepareSnpLaunch(input)).digest(input)
}

/** The digest over the firmware's own pages, 48 bytes: the slow part, the same for every kernel. */
export async function hashSnpFirmware(firmware: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const chain = new SnpPageChain()
  await chain.extendFile(FOUR_GIB - BigInt(firmware.length), firmware)
  return chain.digest
}

/** Measures everything but the vCPUs. @throws as {@link predictSnpLaunchDigest} */
export async function prepareSnpLaunch(input: SnpLaunchInput): Promise<SnpLaunch> {
  const { firmware, kernelHashes } = input
  const metadata = parseOvmf(firmware)
  const seed = input.firmwareSeed ?? (await hashSnpFirmware(firmware))
  const chain = new SnpPageChain(seed)
  const hashPage = kernelHashes && (await kernelHashesPage(metadata, kernelHashes))
  const size = firmware.length
  const steps: SnpLaunchStep[] = [
    { name: 'firmware', gpa: FOUR_GIB - BigInt(size), size, digest: chain.digest },
  ]
  for (const section of metadata.sections) {
    const name = await extendSection(chain, section, hashPage)
    steps.push({ name, gpa: BigInt(section.gpa), size: section.size, digest: chain.digest })
  }
  return new MeasuredLaunch(steps, chain.digest, metadata)
}

class MeasuredLaunch implements SnpLaunch {
  readonly steps: readonly SnpLaunchStep[]
  readonly #seed: Uint8Array
  readonly #metadata: OvmfMetadata

  constructor(steps: readonly SnpLaunchStep[], seed: Uint8Array, metadata: OvmfMetadata) {
    this.steps = steps
    this.#seed = seed
    this.#metadata = metadata
  }

  async digest({ vcpuType, vcpus, features }: SnpVcpus): Promise<Uint8Array<ArrayBuffer>> {
    if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
      throw new RangeError(`${vcpus} vCPUs is not between 1 and ${MAX_VCPUS}`)
    const sevFeatures = features ?? SEV_FEATURES.snp
    const signature = vcpuSignature(vcpuType)
    const hash = async (address: number) =>
      runtimeCrypto.digest('SHA-384', encodeVmsa({ address, signature, sevFeatures }))
    const chain = new SnpPageChain(this.#seed)
    await chain.extend(PAGE_TYPE.vmsa, VMSA_GPA, await hash(BSP_ADDRESS))
    if (vcpus === 1) return chain.digest
    const { apResetAddress } = this.#metadata
    if (apResetAddress === undefined)
      throw new RangeError('the firmware names no reset address, so it can have one vCPU only')
    const application = await hash(apResetAddress)
    for (let index = 1; index < vcpus; index++)
      await chain.extend(PAGE_TYPE.vmsa, VMSA_GPA, application)
    return chain.digest
  }
}

async function extendSection(
  chain: SnpPageChain,
  { gpa, size, type }: SevSection,
  hashPage: Uint8Array | undefined,
): Promise<keyof typeof SECTION_TYPE> {
  const start = BigInt(gpa)
  const zeros = async () => {
    for (let offset = 0; offset < size; offset += PAGE_SIZE)
      await chain.extend(PAGE_TYPE.zero, start + BigInt(offset))
  }
  switch (type) {
    case SECTION_TYPE.memory:
      await zeros()
      return 'memory'
    case SECTION_TYPE.svsmCallingArea:
      await zeros()
      return 'svsmCallingArea'
    case SECTION_TYPE.secrets:
      await chain.extend(PAGE_TYPE.secrets, start)
      return 'secrets'
    case SECTION_TYPE.cpuid:
      await chain.extend(PAGE_TYPE.cpuid, start)
      return 'cpuid'
    case SECTION_TYPE.kernelHashes: {
      if (hashPage === undefined) await zeros()
      else if (size !== PAGE_SIZE) throw new RangeError('the kernel hashes section is not one page')
      else {
        const contents = await runtimeCrypto.digest('SHA-384', hashPage)
        await chain.extend(PAGE_TYPE.normal, start, contents)
      }
      return 'kernelHashes'
    }
    default:
      throw new RangeError(`the firmware has a section of unknown type 0x${type.toString(16)}`)
  }
}

/** A page of zeros with the table where the firmware looks for it. Without room for it the kernel would go unmeasured. */
async function kernelHashesPage(
  { sections, hashTableAddress }: OvmfMetadata,
  hashes: KernelHashes,
): Promise<Uint8Array> {
  const hasSection = sections.some(({ type }) => type === SECTION_TYPE.kernelHashes)
  if (!hasSection || hashTableAddress === undefined || hashTableAddress === 0)
    throw new RangeError('the firmware has no room for kernel hashes; use the AmdSev build of OVMF')
  const table = await kernelHashTable(hashes)
  const offset = hashTableAddress & (PAGE_SIZE - 1)
  if (offset + table.length > PAGE_SIZE)
    throw new RangeError('the kernel hashes do not fit in their page')
  const page = new Uint8Array(PAGE_SIZE)
  page.set(table, offset)
  return page
}
