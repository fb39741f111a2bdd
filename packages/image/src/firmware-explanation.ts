/** What the digests of {@link measureFirmware} are made of, one stretch of memory or event after the other, and where two firmware files part. */
import { createHash } from 'node:crypto'

import { toHex } from '@cloister/verifier/bytes/hex'
import { TDVF_SECTION, type TdvfSection } from '@cloister/verifier/formats/tdvf'
import { kernelHashTable } from '@cloister/verifier/launch/kernel-hashes'
import {
  sevEsLaunchParts,
  sevLaunchParts,
  type SevLaunchPart,
} from '@cloister/verifier/launch/sev-digest'
import { prepareSnpLaunch } from '@cloister/verifier/snp/launch-digest'
import { mrTdSteps } from '@cloister/verifier/tdx/mr-td'
import { extendRtmr, type RtmrEvent } from '@cloister/verifier/tdx/rtmr'
import {
  kernelEvents,
  kernelHashes,
  type DirectBoot,
  type MeasuredTee,
} from './firmware-measurement.ts'
import {
  PLAIN_FEATURES,
  explainLaunch,
  type LaunchDifference,
  type LaunchVariant,
} from './launch-difference.ts'

export interface FirmwareContribution {
  /** `launch digest`, `MRTD`, `RTMR1` or `RTMR2`. */
  readonly register: string
  readonly what: string
  /** Guest memory; null for what has no address. */
  readonly address: string | null
  /** Bytes; null for an event. */
  readonly size: number | null
  /** SHA-256 of the contents that are measured, or the digest of an event; null for memory of which only the place is measured. Hex. */
  readonly contents: string | null
  /** The register once this is measured, in hex; the last one is what the TEE reports. */
  readonly digest: string
}

/** @throws as `measureFirmware` */
export async function explainFirmware(
  tee: MeasuredTee,
  boot: DirectBoot,
): Promise<readonly FirmwareContribution[]> {
  const { firmware, vcpuType, vcpus } = boot
  const input = { firmware, vcpuType, vcpus, kernelHashes: kernelHashes(boot) }
  switch (tee) {
    case 'snp':
      return await snpContributions(boot)
    case 'sev':
      return sevContributions(await sevLaunchParts(input))
    case 'sev-es':
      return sevContributions(await sevEsLaunchParts(input))
    case 'tdx':
      return [...(await mrTdContributions(firmware)), ...(await rtmrContributions(boot))]
    default:
      return tee satisfies never
  }
}

/** What only one of two firmware files has measured, or has with other contents, everything else being the same. Register by register. */
export async function firmwareDifferences(
  tee: MeasuredTee,
  a: DirectBoot,
  b: DirectBoot,
): Promise<readonly LaunchDifference[]> {
  const [mine, theirs] = await Promise.all([explainFirmware(tee, a), explainFirmware(tee, b)])
  const place = ({ register, what, address, size }: FirmwareContribution) =>
    [register, what, ...(address === null ? [] : [`at ${address}`, `${size} bytes`])].join(', ')
  const contents = (rows: readonly FirmwareContribution[]) =>
    new Map(rows.map((row) => [place(row), row.contents ?? 'its place alone']))
  const [left, right] = [contents(mine), contents(theirs)]
  return [...new Set([...left.keys(), ...right.keys()])]
    .map((what) => ({ what, a: left.get(what) ?? '-', b: right.get(what) ?? '-' }))
    .filter((one) => one.a !== one.b)
}

async function snpContributions(boot: DirectBoot): Promise<FirmwareContribution[]> {
  const { firmware, vcpuType, vcpus } = boot
  const hashes = kernelHashes(boot)
  const variant: Omit<LaunchVariant, 'mode'> = { vcpuType, vcpus, features: PLAIN_FEATURES }
  const launch = await prepareSnpLaunch({ firmware, kernelHashes: hashes })
  const contents: Readonly<Record<string, Uint8Array>> = {
    firmware,
    ...(hashes !== undefined && { kernelHashes: await kernelHashTable(hashes) }),
  }
  return (await explainLaunch(launch, variant)).map((row) => {
    const bytes = contents[row.what]
    return { register: LAUNCH, ...row, contents: bytes === undefined ? null : sha256(bytes) }
  })
}

/** SHA-256 over one stretch after the other. */
function sevContributions(parts: readonly SevLaunchPart[]): FirmwareContribution[] {
  const running = createHash('sha256')
  let vcpu = 0
  return parts.map(({ name, bytes }) => {
    running.update(bytes)
    return {
      register: LAUNCH,
      what: name === 'vcpu' ? `vCPU ${vcpu++}` : name,
      address: null,
      size: bytes.length,
      contents: sha256(bytes),
      digest: running.copy().digest('hex'),
    }
  })
}

async function mrTdContributions(firmware: Uint8Array): Promise<FirmwareContribution[]> {
  return (await mrTdSteps(firmware)).map(({ section, digest }) => {
    const { gpa, size, measured, dataOffset, dataSize } = section
    const data = firmware.subarray(dataOffset, dataOffset + dataSize)
    return {
      register: 'MRTD',
      what: sectionName(section),
      address: `0x${gpa.toString(16)}`,
      size: Number(size),
      contents: measured ? sha256(data) : null,
      digest: toHex(digest),
    }
  })
}

function sectionName({ type }: TdvfSection): string {
  switch (type) {
    case TDVF_SECTION.bootFirmware:
      return 'firmware'
    case TDVF_SECTION.configuration:
      return 'configuration'
    case TDVF_SECTION.handOff:
      return 'hand-off block'
    case TDVF_SECTION.temporary:
      return 'temporary memory'
    default:
      return `section of type ${type}`
  }
}

async function rtmrContributions(boot: DirectBoot): Promise<FirmwareContribution[]> {
  if (boot.kernel === undefined) return []
  const { rtmr1, rtmr2 } = await kernelEvents(boot.kernel, boot)
  return [
    ...(await eventContributions('RTMR1', rtmr1)),
    ...(await eventContributions('RTMR2', rtmr2)),
  ]
}

async function eventContributions(
  register: string,
  events: readonly RtmrEvent[],
): Promise<FirmwareContribution[]> {
  const rows: FirmwareContribution[] = []
  let value: Uint8Array = new Uint8Array(48)
  for (const { what, digest } of events) {
    value = await extendRtmr(value, digest)
    const contents = toHex(digest)
    rows.push({ register, what, address: null, size: null, contents, digest: toHex(value) })
  }
  return rows
}

const LAUNCH = 'launch digest'

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
