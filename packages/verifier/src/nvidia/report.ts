/**
 * NVIDIA GPU and NVSwitch attestation report: an SPDM 1.1 GET_MEASUREMENTS request and its MEASUREMENTS response (DMTF DSP0274 section
 * 10.11). Little-endian. The signature covers everything before it; zero bytes may follow it.
 */
import { ByteReader, isZero } from '../bytes/reader.ts'
import { readOpaqueData } from './opaque-data.ts'
import type { OpaqueData } from './opaque-data.ts'

const FORMAT = 'NVIDIA report'

const SPDM = { version: 0x11, getMeasurements: 0xe0, measurements: 0x60 } as const
const WITH_SIGNATURE = 1
const ALL_MEASUREMENTS = 0xff
const DMTF_MEASUREMENT = 1
const NONCE_BYTES = 32
const SIGNATURE_BYTES = 96
const MEASUREMENT_HEAD = 3
const MAX_SLOT = 7
/** The transport pads to a few bytes; more is no report. */
const MAX_PADDING = 64

export interface Measurement {
  /** DMTF's type: 0 ROM, 1 firmware, 2 hardware configuration, 3 firmware configuration; bit 7 says raw. */
  readonly type: number
  readonly value: Uint8Array
}

export interface NvidiaReport {
  /** 32 bytes: the caller's. */
  readonly requestNonce: Uint8Array
  /** 32 bytes: the device's. */
  readonly responseNonce: Uint8Array
  /** By index, from 1. */
  readonly measurements: ReadonlyMap<number, Measurement>
  readonly opaque: OpaqueData
  /** What the signature covers. */
  readonly signed: Uint8Array
  /** r ‖ s, 48 bytes each. */
  readonly signature: Uint8Array
}

/** @throws FormatError */
export function parseNvidiaReport(bytes: Uint8Array): NvidiaReport {
  const reader = new ByteReader(FORMAT, bytes)
  expectByte(reader, 'request.version', SPDM.version)
  expectByte(reader, 'request.code', SPDM.getMeasurements)
  expectByte(reader, 'request.param1', WITH_SIGNATURE)
  expectByte(reader, 'request.param2', ALL_MEASUREMENTS)
  const requestNonce = reader.bytes(NONCE_BYTES, 'request.nonce')
  if (reader.u8('request.slot') > MAX_SLOT) reader.fail('request.slot', 36, 'out of range')
  expectByte(reader, 'response.version', SPDM.version)
  expectByte(reader, 'response.code', SPDM.measurements)
  reader.bytes(2, 'response.parameters')
  const blocks = reader.u8('response.blocks')
  const record = reader.bytes(u24le(reader), 'response.record')
  const measurements = readMeasurements(record, blocks)
  const responseNonce = reader.bytes(NONCE_BYTES, 'response.nonce')
  const opaque = readOpaqueData(reader.bytes(reader.u16le('opaque.length'), 'opaque'))
  const signed = bytes.subarray(0, reader.offset)
  const signature = reader.bytes(SIGNATURE_BYTES, 'signature')
  const { offset, left } = reader
  if (left > MAX_PADDING || !isZero(reader.rest())) reader.fail('end', offset, `${left} bytes more`)
  return { requestNonce, responseNonce, measurements, opaque, signed, signature }
}

function readMeasurements(record: Uint8Array, blocks: number): ReadonlyMap<number, Measurement> {
  const reader = new ByteReader(`${FORMAT}: measurement record`, record)
  const measurements = new Map<number, Measurement>()
  for (let block = 0; block < blocks; block++) {
    const start = reader.offset
    const index = reader.u8('index')
    if (index === 0 || measurements.has(index)) reader.fail('index', start, 'zero or twice')
    if (reader.u8('specification') !== DMTF_MEASUREMENT)
      reader.fail('specification', start, 'not DMTF')
    const size = reader.u16le('size')
    const type = reader.u8('type')
    const length = reader.u16le('value size')
    if (size !== length + MEASUREMENT_HEAD) reader.fail('size', start, 'differs from its value')
    measurements.set(index, { type, value: reader.bytes(length, 'value') })
  }
  reader.end()
  return measurements
}

function u24le(reader: ByteReader): number {
  const low = reader.u16le('response.record length')
  return low | (reader.u8('response.record length') << 16)
}

function expectByte(reader: ByteReader, field: string, wanted: number): void {
  const { offset } = reader
  const value = reader.u8(field)
  if (value !== wanted) reader.fail(field, offset, `${value}, wanted ${wanted}`)
}
