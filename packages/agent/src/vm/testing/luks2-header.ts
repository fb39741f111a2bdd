/** LUKS2 headers for tests, as cryptsetup writes those of sealed disks; any part of them can be made otherwise. */
import { createHash } from 'node:crypto'
import { SEALED_HEADER, SEALED_HEADER_BYTES } from '@cloister/protocol/sealed-disk/layout'

/** A digest or salt of no meaning. */
const NOISE = Buffer.alloc(32, 0x5a).toString('base64')

export const KEYSLOT = {
  type: 'luks2',
  key_size: 96,
  af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
  area: {
    type: 'raw',
    offset: '32768',
    size: '385024',
    encryption: 'aes-xts-plain64',
    key_size: 64,
  },
  kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000, salt: NOISE },
} as const

export const METADATA = {
  keyslots: { '0': KEYSLOT },
  tokens: {},
  segments: {
    '0': {
      type: 'crypt',
      offset: '0',
      size: 'dynamic',
      iv_tweak: '0',
      encryption: 'aes-xts-plain64',
      sector_size: 4096,
      integrity: {
        type: 'hmac(sha256)',
        journal_encryption: 'none',
        journal_integrity: 'none',
      },
    },
  },
  digests: {
    '0': {
      type: 'pbkdf2',
      keyslots: ['0'],
      segments: ['0'],
      hash: 'sha256',
      iterations: 1000,
      salt: NOISE,
      digest: NOISE,
    },
  },
  config: { json_size: '12288', keyslots_size: '2097152' },
} as const

export interface HeaderChange {
  /** Instead of {@link METADATA}. */
  readonly metadata?: object
  /** Instead of the metadata's JSON. */
  readonly json?: Buffer
  /** Works on one copy before its checksum is made. */
  readonly binary?: (copy: Buffer, which: 'primary' | 'secondary') => void
}

export function luks2Header({ metadata = METADATA, json, binary }: HeaderChange = {}): Buffer {
  const area = json ?? Buffer.from(JSON.stringify(metadata))
  const header = Buffer.alloc(SEALED_HEADER_BYTES)
  for (const [index, which] of (['primary', 'secondary'] as const).entries()) {
    const offset = index * SEALED_HEADER.metadataBytes
    const copy = header.subarray(offset, offset + SEALED_HEADER.metadataBytes)
    copy.write(which === 'primary' ? 'LUKS\xba\xbe' : 'SKUL\xba\xbe', 0, 'latin1')
    copy.writeUInt16BE(2, 6)
    copy.writeBigUInt64BE(BigInt(SEALED_HEADER.metadataBytes), 8)
    copy.writeBigUInt64BE(3n, 16)
    copy.write('sha256', 0x48, 'latin1')
    copy.writeBigUInt64BE(BigInt(offset), 0x100)
    area.copy(copy, 0x1000)
    binary?.(copy, which)
    createHash('sha256').update(copy).digest().copy(copy, 0x1c0)
  }
  return header
}
