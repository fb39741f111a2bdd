/** Adds one program to the guest image's initrd: the kernel unpacks archives that follow each other (initramfs buffer format). */
import { readFile, writeFile } from 'node:fs/promises'

export async function writeInitrdWith(
  original: string,
  file: { readonly name: string; readonly text: string },
  path: string,
): Promise<void> {
  const parts = [await readFile(original), entry(file.name, file.text, 0o100755), entry(TRAILER)]
  await writeFile(path, Buffer.concat(parts), { mode: 0o644 })
}

const TRAILER = 'TRAILER!!!'

/** One member of a cpio archive of the `newc` format: 13 numbers of 8 hex digits, the name and the content, each padded to 4. */
function entry(name: string, text = '', mode = 0): Buffer {
  const content = Buffer.from(text)
  const nameSize = Buffer.byteLength(name) + 1
  const numbers = [1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, nameSize, 0]
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`
  return Buffer.concat([pad(Buffer.from(`${header}${name}\0`)), pad(content)])
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}
