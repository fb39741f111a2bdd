/**
 * Platform claims of an Arm CCA attestation token. "Arm CCA attestation token" (draft-ffm-rats-cca-token) section 4.5; keys as in the
 * Realm Management Monitor specification, section A7.
 */
import { CborFields, exactly } from '../formats/cbor-fields.ts'
import type { SizeRange } from '../formats/cbor-fields.ts'
import type { CborItem } from '../formats/cbor-item.ts'

const FORMAT = 'CCA platform claims'

export const PLATFORM_CLAIM = {
  challenge: 10,
  instanceId: 256,
  profile: 265,
  lifecycle: 2395,
  implementationId: 2396,
  softwareComponents: 2399,
  verificationService: 2400,
  config: 2401,
  hashAlgorithm: 2402,
} as const

export const COMPONENT_CLAIM = {
  type: 1,
  measurement: 2,
  version: 4,
  signerId: 5,
  hashAlgorithm: 6,
} as const

const PROFILES: ReadonlySet<string> = new Set([
  'http://arm.com/CCA-SSD/1.0.0',
  'tag:arm.com,2023:cca_platform#1.0.0',
])
const HASHES: ReadonlySet<string> = new Set(['sha-256', 'sha-384', 'sha-512'])
const HASH_SIZES: ReadonlySet<number> = new Set([32, 48, 64])
const HASH_RANGE: SizeRange = { least: 32, most: 64 }
const CONFIG_RANGE: SizeRange = { least: 1, most: 4096 }
const COMPONENT_RANGE: SizeRange = { least: 1, most: 64 }
/** The first byte of an EAT UEID of type RAND. */
const UEID_RANDOM = 1

/** Upper byte of the lifecycle; the lower one is the implementation's own. */
const LIFECYCLES = {
  0x00: 'unknown',
  0x10: 'assembly-and-test',
  0x20: 'rot-provisioning',
  0x30: 'secured',
  0x40: 'non-cca-platform-debug',
  0x50: 'recoverable-cca-platform-debug',
  0x60: 'decommissioned',
} as const

export type Lifecycle = (typeof LIFECYCLES)[keyof typeof LIFECYCLES]

export interface SoftwareComponent {
  readonly type: string | undefined
  /** 32, 48 or 64 bytes; so is the signer's id. */
  readonly measurement: Uint8Array
  readonly version: string | undefined
  readonly signerId: Uint8Array
  readonly hashAlgorithm: string | undefined
}

export interface PlatformClaims {
  readonly profile: string
  /** 32, 48 or 64 bytes: a digest of the realm's key. */
  readonly challenge: Uint8Array
  /** 32 bytes. */
  readonly implementationId: Uint8Array
  /** 33 bytes. */
  readonly instanceId: Uint8Array
  readonly config: Uint8Array
  readonly lifecycle: Lifecycle
  readonly softwareComponents: readonly SoftwareComponent[]
  readonly verificationService: string | undefined
  readonly hashAlgorithm: string
}

/**
 * Claims of unknown keys are ignored, as RFC 8392 section 3 wants.
 *
 * @throws FormatError
 */
export function readPlatformClaims(item: CborItem): PlatformClaims {
  const fields = new CborFields(FORMAT, item)
  const profile = fields.text(PLATFORM_CLAIM.profile)
  if (!PROFILES.has(profile)) fields.fail(PLATFORM_CLAIM.profile, 'unknown')
  const instanceId = fields.bytes(PLATFORM_CLAIM.instanceId, exactly(33))
  if (instanceId[0] !== UEID_RANDOM) fields.fail(PLATFORM_CLAIM.instanceId, 'not a random UEID')
  return {
    profile,
    challenge: readHash(fields, PLATFORM_CLAIM.challenge),
    implementationId: fields.bytes(PLATFORM_CLAIM.implementationId, exactly(32)),
    instanceId,
    config: fields.bytes(PLATFORM_CLAIM.config, CONFIG_RANGE),
    lifecycle: readLifecycle(fields),
    softwareComponents: fields
      .array(PLATFORM_CLAIM.softwareComponents, COMPONENT_RANGE)
      .map(readComponent),
    verificationService: optionalText(fields, PLATFORM_CLAIM.verificationService),
    hashAlgorithm: readHashName(fields, PLATFORM_CLAIM.hashAlgorithm),
  }
}

/** A digest of 32, 48 or 64 bytes. */
export function readHash(fields: CborFields, key: number): Uint8Array {
  const bytes = fields.bytes(key, HASH_RANGE)
  return HASH_SIZES.has(bytes.length) ? bytes : fields.fail(key, 'not 32, 48 or 64 bytes')
}

/** The name of a hash algorithm that we know. */
export function readHashName(fields: CborFields, key: number): string {
  const name = fields.text(key)
  return HASHES.has(name) ? name : fields.fail(key, 'unknown hash algorithm')
}

function readLifecycle(fields: CborFields): Lifecycle {
  const value = fields.number(PLATFORM_CLAIM.lifecycle, 0xffff)
  const names: Readonly<Record<number, Lifecycle>> = LIFECYCLES
  return names[value >> 8] ?? fields.fail(PLATFORM_CLAIM.lifecycle, 'unknown')
}

function readComponent(item: CborItem): SoftwareComponent {
  const fields = new CborFields(`${FORMAT}: software component`, item)
  return {
    type: optionalText(fields, COMPONENT_CLAIM.type),
    measurement: readHash(fields, COMPONENT_CLAIM.measurement),
    version: optionalText(fields, COMPONENT_CLAIM.version),
    signerId: readHash(fields, COMPONENT_CLAIM.signerId),
    hashAlgorithm: fields.has(COMPONENT_CLAIM.hashAlgorithm)
      ? readHashName(fields, COMPONENT_CLAIM.hashAlgorithm)
      : undefined,
  }
}

function optionalText(fields: CborFields, key: number): string | undefined {
  return fields.has(key) ? fields.text(key) : undefined
}
