/**
 * Canonical Event Log in TLV form (TCG Canonical Event Log Format), with the container events of Confidential Space. Big-endian. A
 * record is number, register, digests, content, each `u8 type, u32 length, value`.
 */
import { equalBytes } from '../bytes/equal.ts'
import { ByteReader } from '../bytes/reader.ts'
import { TPM_HASHES, hashById, hashDigest } from '../tpm/algorithms.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { extend } from './replay.ts'

const FORMAT = 'canonical event log'
const MAX_LOG_BYTES = 4 << 20
const MAX_RECORDS = 16_384
const TYPE = { number: 0, pcr: 1, digests: 3, container: 80, register: 108 } as const
/** Event types of container content, by number. */
const CONTAINER_EVENTS = [
  'image-reference',
  'image-digest',
  'restart-policy',
  'image-id',
  'argument',
  'environment',
  'override-argument',
  'override-environment',
  'separator',
  'memory-monitor',
  'gpu-cc-mode',
  'gpu-device-attestation-binding',
] as const

export type ContainerEventName = (typeof CONTAINER_EVENTS)[number]

export interface CelRecord {
  readonly kind: 'pcr' | 'register'
  readonly index: number
  readonly digests: readonly { readonly hash: HashName; readonly digest: Uint8Array }[]
  /** The content with its own header: what the digests are of. */
  readonly content: Uint8Array
  readonly event: { readonly name: ContainerEventName; readonly value: Uint8Array }
  readonly offset: number
}

/** @throws FormatError; also when numbers have gaps, or something follows the container's separator */
export function parseCel(bytes: Uint8Array): CelRecord[] {
  const reader = new ByteReader(FORMAT, bytes)
  if (bytes.length > MAX_LOG_BYTES) reader.fail('length', 0, 'too long')
  const records: CelRecord[] = []
  let closed = false
  while (reader.left > 0) {
    const start = reader.offset
    if (records.length === MAX_RECORDS) reader.fail('records', start, 'too many')
    if (closed) reader.fail('separator', start, 'events after it')
    const record = readRecord(reader, bytes, records.length)
    closed = record.event.name === 'separator'
    records.push(record)
  }
  return records
}

/**
 * Values of the registers, by index; undefined when a digest is missing in that bank or is not of its content.
 *
 * @param bank - the digests to go by
 */
export async function replayCel(
  records: readonly CelRecord[],
  bank: HashName,
): Promise<ReadonlyMap<number, Uint8Array> | undefined> {
  const registers = new Map<number, Uint8Array>()
  for (const { index, digests, content } of records) {
    const digest = digests.find(({ hash }) => hash === bank)?.digest
    if (digest === undefined || !equalBytes(digest, await hashDigest(bank, content)))
      return undefined
    const before = registers.get(index) ?? new Uint8Array(TPM_HASHES[bank].size)
    registers.set(index, await extend(bank, before, digest))
  }
  return registers
}

function readRecord(reader: ByteReader, bytes: Uint8Array, wanted: number): CelRecord {
  const offset = reader.offset
  const number = element(reader, 'recnum', [TYPE.number])
  if (number.value.length !== 8 || wordOf(number.value) !== BigInt(wanted))
    reader.fail('recnum', offset, `wanted ${wanted}`)
  const register = element(reader, 'index', [TYPE.pcr, TYPE.register])
  const [index, ...more] = register.value
  if (index === undefined || more.length > 0) return reader.fail('index', offset, 'not one byte')
  const digests = readDigests(element(reader, 'digests', [TYPE.digests]).value)
  const start = reader.offset
  const { value } = element(reader, 'content', [TYPE.container])
  return {
    kind: register.type === TYPE.pcr ? 'pcr' : 'register',
    index,
    digests,
    content: bytes.subarray(start, reader.offset),
    event: readContainerEvent(value),
    offset,
  }
}

function readDigests(bytes: Uint8Array): CelRecord['digests'] {
  const reader = new ByteReader(FORMAT, bytes)
  const digests: { hash: HashName; digest: Uint8Array }[] = []
  while (reader.left > 0) {
    const start = reader.offset
    const id = reader.u8('digest.algorithm')
    const digest = reader.bytes(reader.u32be('digest.length'), 'digest')
    const hash = hashById(id)
    if (hash?.size !== digest.length || digests.some((earlier) => earlier.hash === hash.name))
      return reader.fail('digest', start, `0x${id.toString(16)} of ${digest.length} bytes`)
    digests.push({ hash: hash.name, digest })
  }
  if (digests.length === 0) reader.fail('digests', 0, 'there are none')
  return digests
}

function readContainerEvent(bytes: Uint8Array): CelRecord['event'] {
  const reader = new ByteReader(FORMAT, bytes)
  const type = reader.u8('event.type')
  const value = reader.bytes(reader.u32be('event.length'), 'event')
  reader.end()
  const name = CONTAINER_EVENTS[type]
  return name === undefined ? reader.fail('event.type', 0, `${type}`) : { name, value }
}

function element(
  reader: ByteReader,
  field: string,
  types: readonly number[],
): { type: number; value: Uint8Array } {
  const start = reader.offset
  const type = reader.u8(`${field}.type`)
  if (!types.includes(type)) reader.fail(`${field}.type`, start, `${type}`)
  return { type, value: reader.bytes(reader.u32be(`${field}.length`), field) }
}

function wordOf(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0)
}
