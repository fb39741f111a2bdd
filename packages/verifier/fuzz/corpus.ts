/** Samples for fuzzing: recorded ones, where they are, and pieces of them. */
import { Buffer } from 'node:buffer'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64 } from '../src/bytes/base64.ts'
import { fromUtf8, toUtf8 } from '../src/bytes/text.ts'
import { encodeTcgLog, parseTcgLog } from '../src/eventlog/tcg-log.ts'
import type { TcgEvent } from '../src/eventlog/tcg-log.ts'
import { isPem, parsePem } from '../src/formats/pem.ts'
import { WITH_VECTORS, vector, vectorPath } from '../src/testing/vectors.ts'

/** None where there are no recorded samples. */
export function recorded(...paths: readonly string[]): Uint8Array[] {
  return WITH_VECTORS.skip === false ? paths.map(vector) : []
}

/** Every file below a folder whose path ends so. */
export function recordedBelow(folder: string, ...endings: readonly string[]): Uint8Array[] {
  if (WITH_VECTORS.skip !== false) return []
  return readdirSync(vectorPath(folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .toSorted()
    .map((path) => vector(join(folder, path)))
}

/** Certificates in DER of every maker. */
export function recordedCertificates(): Uint8Array[] {
  return ['roots', 'snp', 'tdx', 'tpm', 'se', 'nvidia']
    .flatMap((folder) => recordedBelow(folder, '.der', '.crt', '.cer', '.pem'))
    .flatMap((bytes) => (isPem(bytes) ? parsePem(bytes).map(({ der }) => der) : [bytes]))
    .filter((bytes) => bytes[0] === 0x30)
}

export function fromRecordedBase64(text: Uint8Array): Uint8Array {
  return fromBase64(fromUtf8('sample', 'text', text).replaceAll(/\s/g, ''))
}

/** The same JSON with less in it: the beginning of long texts and of lists of numbers, of lists of objects the first two. */
export function shortenedJson(json: Uint8Array): Uint8Array {
  const shorten = (_name: string, value: unknown): unknown => {
    if (typeof value === 'string') return value.slice(0, SHORT)
    if (!Array.isArray(value)) return value
    return value.slice(0, isObject(value[0]) ? 2 : SHORT)
  }
  return toUtf8(JSON.stringify(JSON.parse(fromUtf8('sample', 'text', json), shorten)))
}

/** More than a signature has in base64, and a multiple of 4. */
const SHORT = 512
const isObject = (value: unknown) => typeof value === 'object' && !Array.isArray(value)

/** Short logs out of a long one: its head with a few events, one log for each type of event. */
export function piecesOfLog(bytes: Uint8Array): Uint8Array[] {
  const log = parseTcgLog(bytes)
  const types = [...new Set(log.events.map(({ type }) => type))]
  return types.map((type) => {
    const first = log.events.findIndex((event) => event.type === type)
    const events = log.events.slice(first, first + EVENTS_IN_PIECE).filter(isShort)
    return encodeTcgLog({ ...log, events, padding: new Uint8Array() })
  })
}

const EVENTS_IN_PIECE = 3
const isShort = ({ data }: TcgEvent) => data.length <= 1024

/** Whatever parses must encode back to the same bytes. */
export function same(encoded: Uint8Array, input: Uint8Array): void {
  if (Buffer.compare(encoded, input) !== 0)
    throw new Error('does not encode back to the same bytes')
}
