/** Tar archives for tests, hostile ones included: nothing is checked. */
import { encodeTarHeader, TAR_END, tarPadding, type TarInput } from '../tar-writer.ts'

export type TestEntry = Partial<Omit<TarInput, 'type'>> & {
  readonly name: string
  /** Any type flag. */
  readonly type?: string
  readonly content?: string | Uint8Array
}

export function tarFile(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.map(encodeEntry), TAR_END])
}

export async function* tarStream(entries: readonly TestEntry[]): AsyncGenerator<Uint8Array> {
  yield tarFile(entries)
}

function encodeEntry({ content = '', type = '0', ...entry }: TestEntry): Buffer {
  const bytes = Buffer.from(content)
  const header = encodeTarHeader({
    mode: type === '5' ? 0o755 : 0o644,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    size: bytes.length,
    mtime: 1_000_000,
    ...entry,
    type: type as TarInput['type'],
  })
  return Buffer.concat([header, bytes, tarPadding(bytes.length)])
}

/** A pax extended header with these records, to be put before an entry. */
export function paxHeader(records: Readonly<Record<string, string>>): TestEntry {
  const content = Object.entries(records)
    .map(([key, value]) => paxRecord(` ${key}=${value}\n`))
    .join('')
  return { name: 'pax', type: 'x', content }
}

function paxRecord(rest: string): string {
  let length = Buffer.byteLength(rest) + 1
  while (String(length).length + Buffer.byteLength(rest) !== length) length++
  return `${length}${rest}`
}
