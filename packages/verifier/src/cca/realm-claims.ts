/** Realm claims of an Arm CCA attestation token (draft-ffm-rats-cca-token section 4.6), in both forms of the realm's key. */
import { CborFields, exactly } from '../formats/cbor-fields.ts'
import type { CborItem } from '../formats/cbor-item.ts'
import { keyFromCose, keyFromPoint } from '../formats/ec-point.ts'
import type { EcPublicKey } from '../formats/ec-point.ts'
import { FormatError } from '../bytes/format-error.ts'
import { readHash, readHashName } from './platform-claims.ts'

const FORMAT = 'CCA realm claims'

export const REALM_CLAIM = {
  challenge: 10,
  profile: 265,
  personalizationValue: 44_235,
  hashAlgorithm: 44_236,
  publicKey: 44_237,
  initialMeasurement: 44_238,
  extensibleMeasurements: 44_239,
  publicKeyHashAlgorithm: 44_240,
} as const

const PROFILE = 'tag:arm.com,2023:realm#1.0.0'
const KEY_RANGE = { least: 1, most: 256 } as const
const MEASUREMENTS = 4

export interface RealmClaims {
  /** Undefined in the older form, whose key is a bare point. */
  readonly profile: string | undefined
  /** 64 bytes: what the realm was asked to report over. */
  readonly challenge: Uint8Array
  /** 64 bytes. */
  readonly personalizationValue: Uint8Array
  /** 32, 48 or 64 bytes; so are the four that the realm extends. */
  readonly initialMeasurement: Uint8Array
  readonly extensibleMeasurements: readonly Uint8Array[]
  readonly hashAlgorithm: string
  readonly publicKey: EcPublicKey
  /** The claim as it is hashed into the platform's challenge. */
  readonly publicKeyBytes: Uint8Array
  readonly publicKeyHashAlgorithm: string
}

/** Claims of unknown keys are ignored, as RFC 8392 section 3 wants. @throws FormatError */
export function readRealmClaims(item: CborItem): RealmClaims {
  const fields = new CborFields(FORMAT, item)
  const profile = fields.has(REALM_CLAIM.profile) ? fields.text(REALM_CLAIM.profile) : undefined
  if (profile !== undefined && profile !== PROFILE) fields.fail(REALM_CLAIM.profile, 'unknown')
  const publicKeyBytes = fields.bytes(REALM_CLAIM.publicKey, KEY_RANGE)
  const publicKey =
    profile === undefined ? keyFromPoint(publicKeyBytes) : keyFromCose(publicKeyBytes)
  if (publicKey.curve !== 'P-384') fields.fail(REALM_CLAIM.publicKey, 'not on P-384')
  return {
    profile,
    challenge: fields.bytes(REALM_CLAIM.challenge, exactly(64)),
    personalizationValue: fields.bytes(REALM_CLAIM.personalizationValue, exactly(64)),
    initialMeasurement: readHash(fields, REALM_CLAIM.initialMeasurement),
    extensibleMeasurements: readExtensible(fields),
    hashAlgorithm: readHashName(fields, REALM_CLAIM.hashAlgorithm),
    publicKey,
    publicKeyBytes,
    publicKeyHashAlgorithm: readHashName(fields, REALM_CLAIM.publicKeyHashAlgorithm),
  }
}

function readExtensible(fields: CborFields): readonly Uint8Array[] {
  return fields.array(REALM_CLAIM.extensibleMeasurements, exactly(MEASUREMENTS)).map((item) => {
    if (item.kind === 'bytes' && [32, 48, 64].includes(item.value.length)) return item.value
    throw new FormatError(FORMAT, `${REALM_CLAIM.extensibleMeasurements}`, 0, 'not a digest')
  })
}
