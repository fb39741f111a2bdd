/**
 * Why an SNP launch digest is what it is: the pages it is made of, one group after the other, and the inputs in which two launches differ. A digest
 * alone is looked for among all vCPU types, counts and features that QEMU may give the image.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { toHex } from '@cloister/verifier/bytes/hex'
import { VCPU_TYPES, vcpuSignature } from '@cloister/verifier/launch/vcpu-types'
import type { VcpuType } from '@cloister/verifier/launch/vcpu-types'
import { SEV_FEATURES } from '@cloister/verifier/launch/vmsa'
import { prepareSnpLaunch } from '@cloister/verifier/snp/launch-digest'
import type { SnpLaunch } from '@cloister/verifier/snp/launch-digest'

type Measured = Pick<
  GuestImageManifest,
  'kernel' | 'initrd' | 'firmware' | 'commandLines' | 'unifiedKernel'
>
export type LaunchMode = keyof GuestImageManifest['commandLines']

export interface LaunchVariant {
  readonly mode: LaunchMode
  readonly vcpuType: VcpuType
  readonly vcpus: number
  /** SEV_FEATURES of the vCPUs. */
  readonly features: bigint
}

/** One group of pages, and the digest once it is measured. */
export interface LaunchContribution {
  readonly what: string
  readonly address: string
  readonly size: number
  /** 48 bytes in hex. */
  readonly digest: string
}

export interface LaunchDifference {
  readonly what: string
  readonly a: string
  readonly b: string
}

export const PLAIN_FEATURES = SEV_FEATURES.snp
/** As QEMU before 9.1 asked for, and with debug swapping. */
const FEATURES = [SEV_FEATURES.snp, SEV_FEATURES.snp | SEV_FEATURES.debugSwap]
const MOST_VCPUS = 64
const PAGE = 4096

/** @throws CloisterError `guest-image.firmware-unfit` for an image without firmware */
export async function imageLaunch(
  directory: string,
  image: Measured,
  mode: LaunchMode,
): Promise<SnpLaunch> {
  const { snp } = image.firmware
  if (snp === undefined)
    throw new CloisterError('guest-image.firmware-unfit', {
      where: directory,
      why: 'the image has no SNP firmware, so no launch digest',
    })
  return prepareSnpLaunch({
    firmware: await readFile(join(directory, snp.file)),
    kernelHashes: {
      kernelSha256: Buffer.from(image.kernel.sha256, 'hex'),
      initrdSha256: Buffer.from(image.initrd.sha256, 'hex'),
      commandLine: image.commandLines[mode],
    },
  })
}

/** Every group of pages in the order in which it is measured; the last digest is the launch digest. */
export async function explainLaunch(
  launch: SnpLaunch,
  { vcpuType, vcpus, features }: Omit<LaunchVariant, 'mode'>,
): Promise<readonly LaunchContribution[]> {
  const pages = launch.steps.map(({ name, gpa, size, digest }) => ({
    what: name,
    address: `0x${gpa.toString(16)}`,
    size,
    digest: toHex(digest),
  }))
  const processors: LaunchContribution[] = []
  for (let count = 1; count <= vcpus; count++)
    processors.push({
      what: `vCPU ${count - 1}, signature 0x${vcpuSignature(vcpuType).toString(16)}`,
      address: '0xfffffffff000',
      size: PAGE,
      digest: toHex(await launch.digest({ vcpuType, vcpus: count, features })),
    })
  return [...pages, ...processors]
}

/** The variant of the image that has this digest; of vCPU types with one signature the first. @param digest - 96 hex digits */
export async function findVariant(
  directory: string,
  image: Measured,
  digest: string,
): Promise<LaunchVariant | undefined> {
  const types = VCPU_TYPES.filter(
    (type, index) =>
      VCPU_TYPES.findIndex((other) => vcpuSignature(other) === vcpuSignature(type)) === index,
  )
  for (const mode of Object.keys(image.commandLines) as LaunchMode[]) {
    const launch = await imageLaunch(directory, image, mode)
    for (const features of FEATURES)
      for (const vcpuType of types)
        for (let vcpus = 1; vcpus <= MOST_VCPUS; vcpus++)
          if (toHex(await launch.digest({ vcpuType, vcpus, features })) === digest)
            return { mode, vcpuType, vcpus, features }
  }
  return undefined
}

export interface LaunchSide {
  readonly image: Measured
  readonly variant: LaunchVariant
}

/** Each input in which the two differ; none when they have one digest. Words of the command line one by one. */
export function launchDifferences(a: LaunchSide, b: LaunchSide): readonly LaunchDifference[] {
  const line = ({ image, variant }: LaunchSide) => image.commandLines[variant.mode].split(' ')
  const signature = ({ variant }: LaunchSide) => vcpuSignature(variant.vcpuType)
  const compared: readonly LaunchDifference[] = [
    { what: 'firmware', a: firmwareOf(a, 'snp'), b: firmwareOf(b, 'snp') },
    { what: 'firmware for TDX', a: firmwareOf(a, 'tdx'), b: firmwareOf(b, 'tdx') },
    { what: 'kernel', a: a.image.kernel.sha256, b: b.image.kernel.sha256 },
    { what: 'initrd', a: a.image.initrd.sha256, b: b.image.initrd.sha256 },
    ...wordDifferences(line(a), line(b)),
    // Made of kernel, initrd and command line, but of a stub too.
    { what: 'unified kernel for TDX', a: unifiedKernelOf(a), b: unifiedKernelOf(b) },
    ...(signature(a) === signature(b)
      ? []
      : [{ what: 'vCPU type', a: a.variant.vcpuType, b: b.variant.vcpuType }]),
    { what: 'vCPU count', a: `${a.variant.vcpus}`, b: `${b.variant.vcpus}` },
    { what: 'SEV features', a: hex(a.variant.features), b: hex(b.variant.features) },
  ]
  return compared.filter((one) => one.a !== one.b)
}

/** Words that only one of the two has; the same words in another order are one difference. */
function wordDifferences(a: readonly string[], b: readonly string[]): readonly LaunchDifference[] {
  const what = 'command line'
  const only = (words: readonly string[], others: readonly string[]) =>
    words.filter((word) => !others.includes(word))
  const [mine, theirs] = [only(a, b), only(b, a)]
  if (mine.length === 0 && theirs.length === 0)
    return [{ what: 'order of the command line', a: a.join(' '), b: b.join(' ') }]
  const name = (word: string) => word.slice(0, word.indexOf('=') + 1)
  const pairs = mine.map((word) => {
    const same = theirs.findIndex((other) => name(word) !== '' && name(other) === name(word))
    return { what, a: word, b: same < 0 ? '' : (theirs.splice(same, 1)[0] as string) }
  })
  return [...pairs, ...theirs.map((word) => ({ what, a: '', b: word }))]
}

function firmwareOf({ image }: LaunchSide, tee: 'snp' | 'tdx'): string {
  return image.firmware[tee]?.sha256 ?? 'none'
}

function unifiedKernelOf({ image }: LaunchSide): string {
  return image.unifiedKernel?.sha256 ?? 'none'
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}
