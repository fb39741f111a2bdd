/**
 * LUKS2 headers, read by us before cryptsetup reads them (LUKS2 On-Disk Format Specification 1.1.x, sections 2 and 3). Attacker-controlled as
 * far as this file is concerned, though a MAC was checked before: a header that says anything else than what we once wrote is refused.
 *
 * Binary header, 4096 bytes, big-endian; twice, each followed by its JSON area up to `hdr_size`.
 */
import { createHash } from 'node:crypto'
import { SEALED_CIPHER, SEALED_DISK, SEALED_HEADER } from '@cloister/protocol/sealed-disk/layout'
import { z } from 'zod'

const BINARY = {
  magic: 0x000,
  version: 0x006,
  headerSize: 0x008,
  sequence: 0x010,
  checksumAlgorithm: 0x048,
  headerOffset: 0x100,
  checksum: 0x1c0,
  checksumBytes: 64,
  size: 0x1000,
} as const
const MAGIC = { primary: 'LUKS\xba\xbe', secondary: 'SKUL\xba\xbe' } as const
const VERSION = 2
const CHECKSUM = 'sha256'
const KDF = 'pbkdf2'
const FULL_ENTROPY_SLOTS = ['0', '1', '2'] as const

/** Why a header is refused. */
export class Luks2HeaderError extends Error {
  override readonly name = 'Luks2HeaderError'
  readonly expected: string | undefined
  readonly received: string | undefined

  constructor(
    why: string,
    { expected, received }: { readonly expected?: string; readonly received?: string } = {},
  ) {
    super(why)
    this.expected = expected
    this.received = received?.slice(0, 120)
  }
}

const Decimal = z.string().regex(/^(?:0|[1-9][0-9]{0,15})$/)
const AreaSchema = z.strictObject({
  type: z.literal('raw'),
  offset: Decimal,
  size: Decimal,
  encryption: z.string(),
  key_size: z.int(),
})
const KeyslotSchema = z.strictObject({
  type: z.literal('luks2'),
  key_size: z.int(),
  af: z.strictObject({ type: z.literal('luks1'), stripes: z.int(), hash: z.literal('sha256') }),
  area: AreaSchema,
  kdf: z.strictObject({
    type: z.literal(KDF),
    hash: z.literal('sha256'),
    iterations: z.int().min(1).max(1_000_000),
    salt: z.base64(),
  }),
})
const SegmentSchema = z.strictObject({
  type: z.literal('crypt'),
  offset: Decimal,
  size: z.literal('dynamic'),
  iv_tweak: z.literal('0'),
  encryption: z.string(),
  sector_size: z.int(),
  integrity: z.strictObject({
    type: z.string(),
    journal_encryption: z.literal('none'),
    journal_integrity: z.literal('none'),
  }),
})
const DigestSchema = z.strictObject({
  type: z.literal('pbkdf2'),
  keyslots: z.array(z.string()),
  segments: z.array(z.string()),
  hash: z.literal('sha256'),
  iterations: z.int().min(1).max(10_000_000),
  salt: z.base64(),
  digest: z.base64(),
})
const MetadataSchema = z.strictObject({
  keyslots: z.record(z.string(), KeyslotSchema),
  tokens: z.strictObject({}),
  segments: z.strictObject({ '0': SegmentSchema }),
  digests: z.strictObject({ '0': DigestSchema }),
  config: z.strictObject({ json_size: Decimal, keyslots_size: Decimal }),
})

export interface Luks2Header {
  readonly sequence: bigint
  /** Numbers of the key slots in use. */
  readonly keyslots: readonly string[]
}

/**
 * Reads both copies and compares all of it with the one way in which sealed disks are made.
 *
 * @throws Luks2HeaderError
 */
export function checkLuks2Header(bytes: Uint8Array): Luks2Header {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { metadataBytes } = SEALED_HEADER
  if (buffer.length < 2 * metadataBytes) throw new Luks2HeaderError('it is cut short')
  const first = readCopy(buffer.subarray(0, metadataBytes), 'primary', 0)
  const second = readCopy(
    buffer.subarray(metadataBytes, 2 * metadataBytes),
    'secondary',
    metadataBytes,
  )
  if (first.sequence !== second.sequence || !first.json.equals(second.json))
    throw new Luks2HeaderError('its two copies differ')
  const metadata = parseMetadata(first.json)
  checkSegment(metadata)
  checkKeyslots(metadata)
  return { sequence: first.sequence, keyslots: Object.keys(metadata.keyslots) }
}

interface HeaderCopy {
  readonly sequence: bigint
  /** Without what follows its end. */
  readonly json: Buffer
}

function readCopy(copy: Buffer, which: keyof typeof MAGIC, offset: number): HeaderCopy {
  if (copy.toString('latin1', BINARY.magic, BINARY.version) !== MAGIC[which])
    throw new Luks2HeaderError(`the ${which} copy has another magic`)
  requireEqual('version', VERSION, copy.readUInt16BE(BINARY.version))
  requireEqual(
    'hdr_size',
    SEALED_HEADER.metadataBytes,
    Number(copy.readBigUInt64BE(BINARY.headerSize)),
  )
  requireEqual('hdr_offset', offset, Number(copy.readBigUInt64BE(BINARY.headerOffset)))
  const algorithm = copy.toString('latin1', BINARY.checksumAlgorithm, BINARY.checksumAlgorithm + 32)
  requireEqual('checksum', CHECKSUM, algorithm.replace(/\0+$/, ''))
  const zeroed = Buffer.from(copy)
  zeroed.fill(0, BINARY.checksum, BINARY.checksum + BINARY.checksumBytes)
  const checksum = createHash(CHECKSUM).update(zeroed).digest()
  if (!copy.subarray(BINARY.checksum, BINARY.checksum + checksum.length).equals(checksum))
    throw new Luks2HeaderError(`the checksum of the ${which} copy is wrong`)
  const end = copy.indexOf(0, BINARY.size)
  if (end < 0) throw new Luks2HeaderError(`the JSON area of the ${which} copy has no end`)
  return {
    sequence: copy.readBigUInt64BE(BINARY.sequence),
    json: copy.subarray(BINARY.size, end),
  }
}

type Metadata = z.infer<typeof MetadataSchema>

function parseMetadata(json: Buffer): Metadata {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch (cause) {
    throw Object.assign(new Luks2HeaderError('its metadata is not JSON'), { cause })
  }
  const parsed = MetadataSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new Luks2HeaderError(
    `its metadata has another shape: ${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}`.slice(
      0,
      200,
    ),
  )
}

function checkSegment({
  segments: { 0: segment },
  digests: { 0: digest },
  config,
}: Metadata): void {
  requireEqual('encryption', SEALED_CIPHER.encryption, segment.encryption)
  requireEqual('integrity', SEALED_CIPHER.integrity, segment.integrity.type)
  requireEqual('offset', '0', segment.offset)
  requireEqual('sector_size', SEALED_DISK.sectorBytes, segment.sector_size)
  requireEqual('segments of the digest', '0', digest.segments.join(','))
  requireEqual('json_size', String(SEALED_HEADER.metadataBytes - BINARY.size), config.json_size)
  requireEqual('keyslots_size', String(SEALED_HEADER.keyslotsBytes), config.keyslots_size)
}

function checkKeyslots({ keyslots, digests: { 0: digest } }: Metadata): void {
  const names = Object.keys(keyslots)
  if (
    names.length === 0 ||
    names.some((name) => !FULL_ENTROPY_SLOTS.some((known) => known === name))
  )
    throw new Luks2HeaderError('it has other key slots', { received: names.join(',') })
  requireEqual(
    'key slots of the digest',
    names.toSorted().join(','),
    digest.keyslots.toSorted().join(','),
  )
  const start = 2 * SEALED_HEADER.metadataBytes
  for (const slot of Object.values(keyslots)) {
    requireEqual('key_size', SEALED_CIPHER.volumeKeyBytes, slot.key_size)
    requireEqual('encryption of a key slot', SEALED_CIPHER.encryption, slot.area.encryption)
    requireEqual('key_size of a key slot', 64, slot.area.key_size)
    const offset = Number(slot.area.offset)
    if (offset < start || offset + Number(slot.area.size) > start + SEALED_HEADER.keyslotsBytes)
      throw new Luks2HeaderError('a key slot lies outside its area', { received: String(offset) })
  }
}

function requireEqual(field: string, expected: string | number, received: string | number): void {
  if (expected !== received)
    throw new Luks2HeaderError(`its ${field} is another one`, {
      expected: String(expected),
      received: String(received),
    })
}
