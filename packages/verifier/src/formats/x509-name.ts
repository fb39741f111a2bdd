/** Distinguished names (RFC 5280 section 4.1.2.4). */
import { textAt } from '../bytes/text.ts'
import { DerReader, TAG } from './der-reader.ts'
import { der, derOid, derPrintableString, derSequence, derUtf8String } from './der-writer.ts'

export const NAME_OID = {
  commonName: '2.5.4.3',
  serialNumber: '2.5.4.5',
  country: '2.5.4.6',
  locality: '2.5.4.7',
  state: '2.5.4.8',
  organization: '2.5.4.10',
  organizationalUnit: '2.5.4.11',
} as const

export interface NameAttribute {
  readonly oid: string
  readonly value: string
}

export interface Name {
  /** DER, for comparing issuer with subject. */
  readonly raw: Uint8Array
  /** In the order of the certificate. */
  readonly attributes: readonly NameAttribute[]
  /** If there is exactly one. */
  readonly commonName: string | undefined
}

const MAX_ATTRIBUTES = 32

/** Checked whole when it is read; written out only when somebody asks, for chains are built from the bytes. */
class ReadName implements Name {
  readonly raw: Uint8Array
  #attributes: readonly NameAttribute[] | undefined
  /** Null until somebody asks. */
  #commonName: string | undefined | null = null

  constructor(raw: Uint8Array) {
    this.raw = raw
  }

  get attributes(): readonly NameAttribute[] {
    this.#attributes ??= attributesOf(this.raw)
    return this.#attributes
  }

  get commonName(): string | undefined {
    if (this.#commonName === null) this.#commonName = onlyCommonName(this.raw)
    return this.#commonName
  }
}

export function readName(outer: DerReader, field: string): Name {
  const start = outer.offset
  passAttributes(outer, field, () => checkText(outer, field))
  return new ReadName(outer.since(start))
}

function onlyCommonName(name: Uint8Array): string | undefined {
  const reader = new DerReader('X.509 name', name)
  let found: string | undefined
  let count = 0
  passAttributes(reader, 'name', (oid) => {
    if (oid === NAME_OID.commonName) {
      found = readText(reader, 'name')
      count++
    } else checkText(reader, 'name')
  })
  return count === 1 ? found : undefined
}

function attributesOf(name: Uint8Array): NameAttribute[] {
  const reader = new DerReader('X.509 name', name)
  const attributes: NameAttribute[] = []
  passAttributes(reader, 'name', (oid) => attributes.push({ oid, value: readText(reader, 'name') }))
  return attributes
}

/** @param take - passes the value, which is all that is left of the pair */
function passAttributes(reader: DerReader, field: string, take: (oid: string) => void): void {
  const end = reader.descend(TAG.sequence, field)
  let count = 0
  while (reader.offset < end) {
    const setEnd = reader.descend(TAG.set, field)
    do {
      if (count++ === MAX_ATTRIBUTES) reader.fail(field, 'too many attributes')
      const pairEnd = reader.descend(TAG.sequence, field)
      take(reader.oid(field))
      reader.close(pairEnd, field)
    } while (reader.offset < setEnd)
    reader.close(setEnd, field)
  }
  reader.close(end, field)
}

/** Values of one attribute, in order. */
export function nameValues(name: Name, oid: string): string[] {
  return valuesOf(name.attributes, oid)
}

/** The common name if there is exactly one. */
export function commonName(name: Name): string | undefined {
  return name.commonName
}

function valuesOf(attributes: readonly NameAttribute[], wanted: string): string[] {
  return attributes.filter(({ oid }) => oid === wanted).map(({ value }) => value)
}

/** One attribute per RDN; country as PrintableString, all others as UTF8String. */
export function encodeName(attributes: readonly NameAttribute[]): Uint8Array<ArrayBuffer> {
  const rdns = attributes.map(({ oid, value }) => {
    const text = oid === NAME_OID.country ? derPrintableString(value) : derUtf8String(value)
    return der(TAG.set, derSequence(derOid(oid), text))
  })
  return derSequence(...rdns)
}

/** Passes a text without writing it out. */
function checkText(reader: DerReader, field: string): void {
  const tag = reader.peek()
  const mayBeAscii = tag === TAG.utf8String || tag === TAG.printableString || tag === TAG.ia5String
  if (!mayBeAscii || !reader.passAscii(tag, field)) readText(reader, field)
}

function readText(reader: DerReader, field: string): string {
  const tag = reader.peek()
  switch (tag) {
    case TAG.utf8String:
    case TAG.printableString:
    case TAG.ia5String:
    case TAG.visibleString:
      return reader.read(tag, field, nameText, field)
    case TAG.teletexString:
      return new TextDecoder('latin1').decode(reader.contents(tag, field))
    case TAG.bmpString:
      return new TextDecoder('utf-16be').decode(reader.contents(tag, field))
    default:
      return reader.fail(
        field,
        `text type ${tag === undefined ? 'missing' : `0x${tag.toString(16)}`} is not supported`,
      )
  }
}

function nameText(bytes: Uint8Array, start: number, end: number, field: string): string {
  return textAt('X.509 name', field, bytes, start, end)
}
