/** Protocol buffers' wire format: the fields of one message, in order, without a schema. */
import { ByteReader } from '../bytes/reader.ts'

export interface ProtobufField {
  readonly number: number
  /** A varint's value; undefined for bytes and fixed-width fields. */
  readonly value: bigint | undefined
  /** Bytes of a length-delimited field, or of a fixed-width one. */
  readonly bytes: Uint8Array
}

/** Messages of TPM Evidence have fewer than 64. */
const MAX_FIELDS = 256
const MAX_FIELD_NUMBER = 2n ** 29n
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** @throws FormatError */
export function parseProtobuf(format: string, message: Uint8Array): ProtobufField[] {
  const reader = new ByteReader(format, message)
  const fields: ProtobufField[] = []
  while (reader.left > 0) {
    const start = reader.offset
    if (fields.length === MAX_FIELDS) reader.fail('fields', start, `more than ${MAX_FIELDS}`)
    const tag = varint(reader)
    const number = tag >> 3n
    if (number === 0n || number >= MAX_FIELD_NUMBER) reader.fail('tag', start, 'no field number')
    fields.push({ number: Number(number), ...readValue(reader, Number(tag & 7n)) })
  }
  return fields
}

/** The last occurrence wins, as the specification says; absent fields are empty. */
export function bytesField(fields: readonly ProtobufField[], number: number): Uint8Array {
  return fields.findLast((field) => field.number === number)?.bytes ?? new Uint8Array()
}

export function bytesFields(fields: readonly ProtobufField[], number: number): Uint8Array[] {
  return fields.filter((field) => field.number === number).map(({ bytes }) => bytes)
}

/** Zero when absent. @throws FormatError when it does not fit 32 bits or is no varint */
export function numberField(
  format: string,
  fields: readonly ProtobufField[],
  number: number,
): number {
  const field = fields.findLast((candidate) => candidate.number === number)
  if (field === undefined) return 0
  const reader = new ByteReader(format, field.bytes)
  if (field.value === undefined || field.value > 0xffff_ffffn)
    return reader.fail(`field ${number}`, 0, 'not a 32-bit number')
  return Number(field.value)
}

function readValue(reader: ByteReader, wireType: number): Omit<ProtobufField, 'number'> {
  const start = reader.offset
  const bytes = (length: number) => ({ value: undefined, bytes: reader.bytes(length, 'value') })
  switch (wireType) {
    case VARINT:
      return { value: varint(reader), bytes: new Uint8Array() }
    case FIXED64:
      return bytes(8)
    case FIXED32:
      return bytes(4)
    case BYTES: {
      const length = varint(reader)
      if (length > BigInt(reader.left)) reader.fail('length', start, 'ends too early')
      return bytes(Number(length))
    }
    default:
      return reader.fail('tag', start, `wire type ${wireType}`)
  }
}

function varint(reader: ByteReader): bigint {
  const start = reader.offset
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.u8('varint')
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) {
      if (value > 0xffff_ffff_ffff_ffffn) break
      return value
    }
  }
  return reader.fail('varint', start, 'longer than 64 bits')
}
