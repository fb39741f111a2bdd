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

function hex8(value: number): string {
  return value.toString(16).padStart(8, '0')
}
