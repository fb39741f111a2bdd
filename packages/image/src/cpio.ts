/**
 * Writes cpio archives of the kind `newc` (the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`), the
 * same bytes for the same entries: one time for all, owner root, inode numbers counted up, no links.
 *
 * Header: magic `070701`, then 13 numbers of 8 hex digits: ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor,
 * rdevmajor, rdevminor, namesize (with its NUL), check (0). Name and content are padded with zeros to 4 bytes.
 */

export type CpioEntry =
  | { readonly path: string; readonly directory: true }
  | { readonly path: string; readonly content: Uint8Array; readonly executable?: boolean }

const MODE = { directory: 0o040755, file: 0o100644, executable: 0o100755 } as const
const TRAILER = 'TRAILER!!!'
const ALIGNMENT = 4
/** The kernel accepts any length; GNU cpio wants whole blocks. */
const BLOCK = 512

/**
 * @param entries - in the order wanted; a directory before what it holds; paths without a leading slash
 * @param mtime - seconds since 1970, for all entries
 */
export function encodeCpio(entries: readonly CpioEntry[], mtime: number): Buffer {
  const pieces: Uint8Array[] = []
  let length = 0
  const put = (piece: Uint8Array) => {
    pieces.push(piece)
    length += piece.length
  }
  const pad = (alignment: number) => put(new Uint8Array(-length & (alignment - 1)))

  const entry = (path: string, ino: number, mode: number, time: number, content: Uint8Array) => {
    const name = Buffer.from(`${path}\0`)
    const links = mode === MODE.directory ? 2 : 1
    const numbers = [ino, mode, 0, 0, links, time, content.length, 0, 0, 0, 0, name.length, 0]
    put(Buffer.from(`070701${numbers.map(hex8).join('')}`))
    put(name)
    pad(ALIGNMENT)
    put(content)
    pad(ALIGNMENT)
  }

  const empty = new Uint8Array(0)
  for (const [index, item] of entries.entries()) {
    if ('directory' in item) entry(item.path, index + 1, MODE.directory, mtime, empty)
    else {
      const mode = item.executable === true ? MODE.executable : MODE.file
      entry(item.path, index + 1, mode, mtime, item.content)
    }
  }
  entry(TRAILER, 0, 0, 0, empty)
  pad(BLOCK)
  return Buffer.concat(pieces, length)
}

const HEADER_BYTES = 110
const FIELDS = { mode: 1, fileSize: 6, nameSize: 11 } as const
const FILE_TYPE = { mask: 0o170000, directory: 0o040000, file: 0o100000 } as const

/**
 * The entries of an archive that {@link encodeCpio} wrote.
 *
 * @throws RangeError for any other archive: ends early, another magic, links, devices
 */
export function decodeCpio(archive: Buffer): CpioEntry[] {
  const entries: CpioEntry[] = []
  const aligned = (offset: number) => offset + (-offset & (ALIGNMENT - 1))
  for (let offset = 0; ;) {
    const header = archive.toString('latin1', offset, offset + HEADER_BYTES)
    if (!/^070701[0-9a-f]{104}$/.test(header)) throw new RangeError(`no cpio entry at ${offset}`)
    const number = (field: number) =>
      Number.parseInt(header.slice(6 + field * 8, 14 + field * 8), 16)
    const nameEnd = offset + HEADER_BYTES + number(FIELDS.nameSize)
    const path = archive.toString('utf8', offset + HEADER_BYTES, nameEnd - 1)
    if (path === TRAILER) return entries
    const start = aligned(nameEnd)
    const end = start + number(FIELDS.fileSize)
    if (end > archive.length) throw new RangeError(`the cpio entry ${path} is cut short`)
    const mode = number(FIELDS.mode)
    const type = mode & FILE_TYPE.mask
    if (type === FILE_TYPE.directory) entries.push({ path, directory: true })
    else if (type === FILE_TYPE.file) {
      const content = archive.subarray(start, end)
      entries.push({ path, content, ...(mode === MODE.executable && { executable: true }) })
    } else throw new RangeError(`the cpio entry ${path} is neither a file nor a directory`)
    offset = aligned(end)
  }
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, '0')
}
