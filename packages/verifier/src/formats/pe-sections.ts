/** Sections of a PE image by name, also long names as GNU's tools write them: `/` and an offset into the string table (PE/COFF, 3.4 and 4). */
import { readPeHeader } from './pe-header.ts'

const MAX_NAME = 64

/** @throws FormatError */
export function peSections(image: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const { sections, strings } = readPeHeader(image)
  return new Map(
    sections.map(({ name, virtualSize, size, start }) => {
      const content = image.subarray(start, start + Math.min(size, virtualSize))
      const plain = plainName(name)
      return [plain.startsWith('/') ? stringAt(image, strings, plain) : plain, content]
    }),
  )
}

function stringAt(image: Uint8Array, strings: number, name: string): string {
  const offset = Number(name.slice(1))
  if (!Number.isInteger(offset)) return name
  return plainName(image.subarray(strings + offset, strings + offset + MAX_NAME))
}

function plainName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}
