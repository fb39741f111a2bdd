/** Runtime data of an HCL report: the vTPM's keys, the VM's configuration, and 64 bytes that the guest may set. */
import { objectOf } from '../formats/json-fields.ts'
import { JsonReader } from '../formats/json-reader.ts'
import { parseJson } from '../formats/json-text.ts'
import { spkiFromJwk } from '../formats/jwk.ts'

const FORMAT = 'HCL runtime data'
const ATTESTATION_KEY = 'HCLAkPub'
const MAX_KEYS = 8
const USER_DATA = 64
/** Of a modulus of 16,384 bits, in base64. */
const MAX_KEY_TEXT = 2731
/** Real ones have 500 bytes. */
const MAX_CONFIGURATION = 8192

export interface HclRuntimeData {
  /** SubjectPublicKeyInfo of the vTPM's attestation key. */
  readonly ak: Uint8Array
  readonly userData: Uint8Array
  /** As the paravisor tells it: `secure-boot`, `console-enabled`, `vmUniqueId`, … */
  readonly vmConfiguration: Readonly<Record<string, unknown>>
}

const NAMES = ['keys', 'vm-configuration', 'user-data'] as const

/** @throws FormatError when names repeat, or there is not exactly one attestation key */
export function parseHclRuntimeData(bytes: Uint8Array): HclRuntimeData {
  const reader = new JsonReader(FORMAT, bytes)
  let ak: Uint8Array | undefined
  let vmConfiguration: Readonly<Record<string, unknown>> | undefined
  // Absent in old versions: zeros then.
  let userData: Uint8Array = new Uint8Array(USER_DATA)
  reader.openObject('text')
  for (let name = reader.member(NAMES); name !== undefined; name = reader.member(NAMES))
    switch (name) {
      case 'keys':
        ak = readKeys(reader)
        break
      case 'vm-configuration':
        vmConfiguration = readConfiguration(reader, bytes)
        break
      case 'user-data':
        userData = reader.hex(name, USER_DATA)
        break
      default:
        name satisfies never
    }
  reader.end()
  return {
    ak: ak ?? reader.fail('keys', 'is missing'),
    userData,
    vmConfiguration: vmConfiguration ?? reader.fail('vm-configuration', 'is missing'),
  }
}

const KEY_NAMES = ['kid', 'kty', 'n', 'e'] as const

/** SubjectPublicKeyInfo of the one attestation key. */
function readKeys(reader: JsonReader): Uint8Array {
  let count = 0
  let found = 0
  let ak: Uint8Array | undefined
  reader.openList('keys')
  while (reader.entry()) {
    if (count++ === MAX_KEYS) reader.fail('keys', `more than ${MAX_KEYS}`)
    const key: Partial<Record<(typeof KEY_NAMES)[number], string>> = {}
    reader.openObject('keys')
    for (let name = reader.member(KEY_NAMES); name !== undefined; name = reader.member(KEY_NAMES))
      key[name] = reader.text(name, MAX_KEY_TEXT)
    if (key.kid !== ATTESTATION_KEY) continue
    found++
    if (key.kty === 'RSA') ak = spkiFromJwk(key)
  }
  if (ak === undefined || found > 1)
    return reader.fail('keys', `${found} RSA keys ${ATTESTATION_KEY}`)
  return ak
}

/** Its names are the paravisor's, so it is read as any JSON is, up to a length. */
function readConfiguration(
  reader: JsonReader,
  bytes: Uint8Array,
): Readonly<Record<string, unknown>> {
  const { start } = reader
  reader.skip()
  if (reader.offset - start > MAX_CONFIGURATION) reader.fail('vm-configuration', 'too long')
  const text = bytes.subarray(start, reader.offset)
  return objectOf(FORMAT, 'vm-configuration', parseJson(FORMAT, text))
}
