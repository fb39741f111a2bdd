/**
 * What a Secure Execution guest gets from the ultravisor (s390-tools, "Attestation"), as CoCo wraps it in JSON with base64 members. The
 * two `encr_` members of that JSON are for the verifier's own challenge step and are not read here.
 */
import { fromBase64Digits } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { JsonReader } from '../formats/json-reader.ts'

const FORMAT = 'SE evidence'
const MAX_BYTES = 1_048_576

export const SIZE = {
  measurement: 64,
  cuid: 16,
  /** PLD, ALD and TLD of 64 bytes each, then the tag of 16. */
  imageHeaderTags: 208,
  maxUserData: 256,
  maxAdditionalData: 32_768,
} as const

export interface SeEvidence {
  /** HMAC-SHA-512. */
  readonly measurement: Uint8Array
  readonly additionalData: Uint8Array
  readonly userData: Uint8Array
  /** Configuration unique id: this run of the guest. */
  readonly cuid: Uint8Array
  /** Of the image that the guest says it is; only the measurement shows that it is so. */
  readonly imageHeaderTags: Uint8Array
}

const NAMES = ['measurement', 'additional_data', 'user_data', 'cuid', 'image_hdr_tags'] as const

/** @throws FormatError */
export function parseSeEvidence(bytes: Uint8Array): SeEvidence {
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const read: Partial<Record<(typeof NAMES)[number], Uint8Array>> = {}
  const reader = new JsonReader(FORMAT, bytes)
  reader.openObject('evidence')
  for (let name = reader.member(NAMES); name !== undefined; name = reader.member(NAMES))
    read[name] = reader.read(name, 'not base64', fromBase64Digits)
  reader.end()
  const need = (name: (typeof NAMES)[number]) => read[name] ?? reader.fail(name, 'is missing')
  return checkSizes({
    measurement: need('measurement'),
    additionalData: need('additional_data'),
    userData: need('user_data'),
    cuid: need('cuid'),
    imageHeaderTags: need('image_hdr_tags'),
  })
}

/** The same evidence, its sizes checked. @throws FormatError */
export function checkSizes(evidence: SeEvidence): SeEvidence {
  for (const [field, size] of [
    ['measurement', SIZE.measurement],
    ['cuid', SIZE.cuid],
    ['imageHeaderTags', SIZE.imageHeaderTags],
  ] as const)
    if (evidence[field].length !== size)
      throw new FormatError(FORMAT, field, 0, `${evidence[field].length} bytes, wanted ${size}`)
  if (evidence.userData.length > SIZE.maxUserData)
    throw new FormatError(FORMAT, 'userData', 0, 'too long')
  if (evidence.additionalData.length > SIZE.maxAdditionalData)
    throw new FormatError(FORMAT, 'additionalData', 0, 'too long')
  return evidence
}
