/** Runtime data of an HCL report: the vTPM's keys, the VM's configuration, and 64 bytes that the guest may set. */
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { fieldOf, listOf, objectOf } from '../formats/json-fields.ts'
import { parseUniqueJson } from '../formats/json-unique.ts'
import { spkiFromJwk } from '../formats/jwk.ts'

const FORMAT = 'HCL runtime data'
const ATTESTATION_KEY = 'HCLAkPub'
const MAX_KEYS = 8
const USER_DATA = 64

export interface HclRuntimeData {
  /** SubjectPublicKeyInfo of the vTPM's attestation key. */
  readonly ak: Uint8Array
  readonly userData: Uint8Array
  /** As the paravisor tells it: `secure-boot`, `console-enabled`, `vmUniqueId`, … */
  readonly vmConfiguration: Readonly<Record<string, unknown>>
}

/** @throws FormatError when names repeat, or there is not exactly one attestation key */
export function parseHclRuntimeData(bytes: Uint8Array): HclRuntimeData {
  const json = objectOf(FORMAT, 'text', parseUniqueJson(FORMAT, bytes))
  const keys = listOf(FORMAT, 'keys', fieldOf(FORMAT, json, 'keys'), MAX_KEYS)
  const matching = keys
    .map((key) => objectOf(FORMAT, 'keys', key))
    .filter((key) => Object.hasOwn(key, 'kid') && key['kid'] === ATTESTATION_KEY)
  const [key] = matching
  if (key === undefined || matching.length > 1 || key['kty'] !== 'RSA')
    throw new FormatError(FORMAT, 'keys', 0, `${matching.length} RSA keys ${ATTESTATION_KEY}`)
  return {
    ak: spkiFromJwk(key),
    userData: readUserData(Object.hasOwn(json, 'user-data') ? json['user-data'] : undefined),
    vmConfiguration: objectOf(
      FORMAT,
      'vm-configuration',
      fieldOf(FORMAT, json, 'vm-configuration'),
    ),
  }
}

/** Absent in old versions: zeros then. */
function readUserData(value: unknown): Uint8Array {
  if (value === undefined) return new Uint8Array(USER_DATA)
  if (typeof value !== 'string' || value.length !== USER_DATA * 2)
    throw new FormatError(FORMAT, 'user-data', 0, `not ${USER_DATA} bytes in hex`)
  return fromHex(value)
}
