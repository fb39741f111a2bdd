/** Writes tar headers: ustar, with a pax header where a value does not fit. The same entries give the same bytes everywhere. */
import { TAR_BLOCK } from './tar-header.ts'

export interface TarInput {
  readonly type: '0' | '1' | '2' | '5'
  /** Relative; a directory ends in `/` by custom. */
  readonly name: string
  readonly linkName?: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content that the caller writes after the header, padded by `tarPadding`. */
  readonly size: number
  /** Whole seconds since 1970. */
  readonly mtime: number
}

const NAME_SIZE = 100
/** Eleven octal digits. */
const SIZE_LIMIT = 8 ** 11 - 1
/** Seven octal digits. */
const ID_LIMIT = 8 ** 7 - 1

export function encodeTarHeader(entry: TarInput): Buffer {
  const pax = paxRecords(entry)
  if (pax.length === 0) return header(entry)
  const extension = header({
    ...entry,
    type: 'x',
    name: 'PaxHeader',
    linkName: '',
    size: pax.length,
  })
  return Buffer.concat([extension, pax, tarPadding(pax.length), header(entry)])
}

/** Zeros up to the next whole block. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK)
}

/** Two blocks of zeros. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK)

function paxRecords({ name, linkName = '', size, uid, gid }: TarInput): Buffer {
  const records: string[] = []
  if (!fitsName(name)) records.push(paxRecord('path', name))
  if (!fitsName(linkName)) records.push(paxRecord('linkpath', linkName))
  if (size > SIZE_LIMIT) records.push(paxRecord('size', String(size)))
  if (uid > ID_LIMIT) records.push(paxRecord('uid', String(uid)))
  if (gid > ID_LIMIT) records.push(paxRecord('gid', String(gid)))
  return Buffer.from(records.join(''))
}

function fitsName(name: string): boolean {
  return Buffer.byteLength(name) <= NAME_SIZE && /^[\x20-\x7e]*$/.test(name)
}

/** `<length> <key>=<value>\n`; the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const size = Buffer.byteLength(rest)
  let length = size + String(size).length
  if (String(length).length > String(size).length) length++
  return `${length}${rest}`
}

function header(entry: Omit<TarInput, 'type'> & { type: string }): Buffer {
  const block = Buffer.alloc(TAR_BLOCK)
  // What does not fit is in the pax header; here it is cut.
  Buffer.from(entry.name).copy(block, 0, 0, NAME_SIZE)
  octal(block, 100, 8, entry.mode)
  octal(block, 108, 8, Math.min(entry.uid, ID_LIMIT))
  octal(block, 116, 8, Math.min(entry.gid, ID_LIMIT))
  octal(block, 124, 12, Math.min(entry.size, SIZE_LIMIT))
  octal(block, 136, 12, entry.mtime)
  block.fill(0x20, 148, 156)
  block.write(entry.type, 156, 'latin1')
  Buffer.from(entry.linkName ?? '').copy(block, 157, 0, NAME_SIZE)
  block.write('ustar\u000000', 257, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function octal(block: Buffer, offset: number, size: number, value: number): void {
  block.write(`${value.toString(8).padStart(size - 1, '0')}\0`, offset, 'latin1')
}
