/**
 * Tar headers: POSIX.1-2001 ustar and pax interchange format, and GNU's long names and base-256 numbers. Bytes to values.
 *
 * field     offset size        field     offset size
 * name           0  100        magic        257    6   "ustar\0", or "ustar " in GNU's format
 * mode         100    8        version      263    2
 * uid          108    8        uname        265   32   not used: numbers decide
 * gid          116    8        gname        297   32   not used
 * size         124   12        devmajor     329    8
 * mtime        136   12        devminor     337    8
 * chksum       148    8        prefix       345  155   ustar only
 * typeflag     156    1
 * linkname     157  100
 */
import { CloisterError } from '@cloister/protocol/error'

export const TAR_BLOCK = 512

/** What one header says; `name` and `linkName` as written, neither normalised nor checked. */
export interface TarHeader {
  /** The type flag: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` fifo; letters are extensions. */
  readonly type: string
  readonly name: string
  readonly linkName: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content that follow, padded to whole blocks. */
  readonly size: number
  /** Seconds since 1970; may have a fraction from a pax record. */
  readonly mtime: number
  readonly deviceMajor: number
  readonly deviceMinor: number
}

const USTAR = 'ustar'

/** Absent: the block is all zeros, which marks the end. Throws `image.layer-malformed`. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  const sum = checksum(block)
  // A header of zeros sums to its checksum field read as eight spaces.
  if (sum === 8 * 0x20 && block.every((byte) => byte === 0)) return undefined
  if (number(block, 148, 8, 'chksum') !== sum) throw malformedTar('chksum')
  const isUstar = block.toString('latin1', 257, 263) === `${USTAR}\0`
  const prefix = isUstar ? text(block, 345, 155, 'prefix') : ''
  const name = text(block, 0, 100, 'name')
  const type = String.fromCharCode(block[156]!)
  return {
    type: type === '\0' || type === '7' ? '0' : type,
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100, 'linkname'),
    mode: number(block, 100, 8, 'mode') & 0o7777,
    uid: number(block, 108, 8, 'uid'),
    gid: number(block, 116, 8, 'gid'),
    size: number(block, 124, 12, 'size'),
    mtime: number(block, 136, 12, 'mtime', true),
    deviceMajor: type === '3' || type === '4' ? number(block, 329, 8, 'devmajor') : 0,
    deviceMinor: type === '3' || type === '4' ? number(block, 337, 8, 'devminor') : 0,
  }
}

/** Pax extended header: records `<length> <key>=<value>\n`, the length counting itself. */
export function parsePaxRecords(bytes: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>()
  let offset = 0
  while (offset < bytes.length) {
    const space = bytes.indexOf(0x20, offset)
    const digits = space < 0 ? '' : bytes.toString('latin1', offset, space)
    if (!/^[1-9][0-9]{0,8}$/.test(digits)) throw malformedTar('pax record length')
    const end = offset + Number(digits)
    const equals = bytes.indexOf(0x3d, space)
    if (end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw malformedTar('pax record')
    records.set(bytes.toString('utf8', space + 1, equals), bytes.subarray(equals + 1, end - 1))
    offset = end
  }
  return records
}

/** UTF-8 text; anything else would be another name after decoding. */
export function tarText(bytes: Buffer, field: string): string {
  const decoded = bytes.toString('utf8')
  if (decoded.includes('\0')) throw malformedTar(field)
  // A replacement character appears only when something was not UTF-8 (or was one already: then the bytes are the same).
  if (decoded.includes('\ufffd') && !Buffer.from(decoded).equals(bytes)) throw malformedTar(field)
  return decoded
}

export function malformedTar(field: string): CloisterError {
  return new CloisterError('image.layer-malformed', {
    where: `tar: ${field}`,
    why: `the tar archive has a malformed ${field}`,
  })
}

function checksum(block: Buffer): number {
  let sum = 0
  for (let index = 0; index < 148; index++) sum += block[index]!
  for (let index = 156; index < TAR_BLOCK; index++) sum += block[index]!
  return sum + 8 * 0x20
}

function text(block: Buffer, offset: number, size: number, field: string): string {
  if (block[offset] === 0) return ''
  const end = block.indexOf(0, offset)
  return tarText(
    block.subarray(offset, end < 0 || end > offset + size ? offset + size : end),
    field,
  )
}

/** Octal text, or GNU's base-256 when the top bit of the first byte is set. */
function number(
  block: Buffer,
  offset: number,
  size: number,
  field: string,
  signed = false,
): number {
  const first = block[offset]!
  if (first >= 0x80) return base256(block, offset, size, field, signed)
  let value = 0
  let index = offset
  const end = offset + size
  while (index < end && block[index] === 0x20) index++
  for (; index < end; index++) {
    const digit = block[index]! - 0x30
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  for (; index < end; index++)
    if (block[index] !== 0 && block[index] !== 0x20) throw malformedTar(field)
  return value
}

function base256(
  block: Buffer,
  offset: number,
  size: number,
  field: string,
  signed: boolean,
): number {
  const isNegative = block[offset] === 0xff
  if (!isNegative && block[offset] !== 0x80) throw malformedTar(field)
  let value = isNegative ? -1n : 0n
  for (let index = offset + 1; index < offset + size; index++)
    value = (value << 8n) | BigInt(block[index]!)
  const limit = BigInt(Number.MAX_SAFE_INTEGER)
  if (value > limit || value < (signed ? -limit : 0n)) throw malformedTar(field)
  return Number(value)
}
