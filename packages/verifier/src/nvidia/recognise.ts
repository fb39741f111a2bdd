/**
 * Evidence in whatever form somebody saved it: one report raw, in hex or in base64, or JSON: the list that NVIDIA's tools write, or CoCo's
 * `{"device_evidence_list": […]}`.
 */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { firstOfText, recogniseBinary } from '../formats/binary-text.ts'
import { fieldOf, listOf, objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import type { NvidiaDevice, NvidiaEvidence } from './evidence.ts'

const FORMAT = 'NVIDIA evidence'
const SPDM_VERSION = 0x11
const MAX_DEVICES = 64
const MAX_BYTES = 8_388_608

/** @throws FormatError when none of the forms fits */
export function recogniseNvidiaEvidence(bytes: Uint8Array): NvidiaEvidence {
  const first = firstOfText(bytes)
  if (first !== 0x5b && first !== 0x7b)
    return { devices: [{ report: recogniseBinary(FORMAT, bytes, [SPDM_VERSION]) }] }
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const parsed = parseJson(FORMAT, bytes)
  const list = Array.isArray(parsed)
    ? parsed
    : fieldOf(FORMAT, objectOf(FORMAT, 'evidence', parsed), 'device_evidence_list')
  const devices = listOf(FORMAT, 'devices', list, MAX_DEVICES).map(readDevice)
  if (devices.length === 0) throw new FormatError(FORMAT, 'devices', 0, 'none')
  return { devices }
}

function readDevice(value: unknown): NvidiaDevice {
  const json = objectOf(FORMAT, 'device', value)
  const evidence = text(fieldOf(FORMAT, json, 'evidence'), 'evidence')
  const certificate = text(fieldOf(FORMAT, json, 'certificate'), 'certificate')
  return {
    // A report begins with the bytes 11 e0: clear in hex, absent from base64.
    report: evidence.toLowerCase().startsWith('11e0') ? fromHex(evidence) : fromBase64(evidence),
    certificates: [fromBase64(certificate)],
    ...(typeof json['arch'] === 'string' && { arch: json['arch'].slice(0, 32) }),
    ...(typeof json['uuid'] === 'string' && { uuid: json['uuid'].slice(0, 64) }),
  }
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new FormatError(FORMAT, field, 0, 'not text')
  return value
}
