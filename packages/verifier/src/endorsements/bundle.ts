/**
 * A bundle of endorsements: everything that the appraisal of one platform's Evidence needs, in one JSON file that can be kept beside the Evidence and
 * used years later without a network. The bundle itself is not signed and vouches for nothing: every item is verified when it is used, as if it came
 * from anywhere else. What it says about itself (whom it is for, when it ends) is for people and schedulers.
 *
 * Format `cloister-endorsements`, version 1; documented in docs/reference/endorsements.md.
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { fieldOf, listOf, numberOf, objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import { itemEnd, ITEM_KINDS } from './bundle-item.ts'
import type { BundleItem, ItemKind } from './bundle-item.ts'

const FORMAT = 'endorsement bundle'
export const BUNDLE_FORMAT = 'cloister-endorsements'
export const BUNDLE_VERSION = 1

export const BUNDLE_TEES = ['snp', 'tdx', 'sgx', 'az-snp', 'az-tdx', 'nvidia'] as const
export type BundleTee = (typeof BUNDLE_TEES)[number]

/** Names of the platform, each a short text: product line, chip id and TCB for AMD; FMSPC, PCEID and issuer for Intel; manifests for NVIDIA. */
export const SUBJECT_FIELDS = [
  'line',
  'chipId',
  'tcb',
  'fmspc',
  'pceId',
  'ca',
  'update',
  'manifests',
] as const
export type BundleSubject = Readonly<Partial<Record<(typeof SUBJECT_FIELDS)[number], string>>>

export interface EndorsementBundle {
  readonly tee: BundleTee
  /** For which platform; unauthenticated. */
  readonly subject: BundleSubject
  readonly fetchedAt: Date
  /** The earliest end of any item. */
  readonly expires: Date
  readonly items: readonly BundleItem[]
}

const LIMITS = { bytes: 16 << 20, items: 256, itemBytes: 2 << 20, text: 1024 } as const
const MEMBERS = ['format', 'version', 'tee', 'subject', 'fetchedAt', 'expires', 'items'] as const
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/

/** Makes a bundle and works out when it ends. @throws FormatError when an item is not of its kind */
export function makeBundle(
  parts: Pick<EndorsementBundle, 'tee' | 'subject' | 'fetchedAt' | 'items'>,
): EndorsementBundle {
  if (parts.items.length === 0) throw new FormatError(FORMAT, 'items', 0, 'none')
  return { ...parts, expires: earliest(parts.items) }
}

/** The same bundle gives the same bytes. */
export function encodeBundle({
  tee,
  subject,
  fetchedAt,
  expires,
  items,
}: EndorsementBundle): Uint8Array<ArrayBuffer> {
  const named = SUBJECT_FIELDS.flatMap((name) => {
    const value = subject[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  const json = {
    format: BUNDLE_FORMAT,
    version: BUNDLE_VERSION,
    tee,
    subject: Object.fromEntries(named),
    fetchedAt: fetchedAt.toISOString(),
    expires: expires.toISOString(),
    items: items.map(({ kind, data }) => ({ kind, data: toBase64(data) })),
  }
  return toUtf8(`${JSON.stringify(json, null, 2)}\n`)
}

/** Whether a file means to be a bundle, so that what is wrong with it is worth an error. */
export function isBundle(bytes: Uint8Array): boolean {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 256))
  return /^\s*\{\s*"format"\s*:\s*"cloister-endorsements"/.test(head)
}

/** @throws FormatError on anything that {@link encodeBundle} would not write, white space apart */
export function parseBundle(bytes: Uint8Array): EndorsementBundle {
  if (bytes.length > LIMITS.bytes) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const json = objectOf(FORMAT, 'bundle', parseJson(FORMAT, bytes))
  refuseUnknown(json, MEMBERS)
  if (fieldOf(FORMAT, json, 'format') !== BUNDLE_FORMAT)
    throw new FormatError(FORMAT, 'format', 0, `not ${BUNDLE_FORMAT}`)
  if (numberOf(FORMAT, 'version', fieldOf(FORMAT, json, 'version'), 1000) !== BUNDLE_VERSION)
    throw new FormatError(FORMAT, 'version', 0, `not ${BUNDLE_VERSION}`)
  const items = listOf(FORMAT, 'items', fieldOf(FORMAT, json, 'items'), LIMITS.items).map(readItem)
  const bundle = makeBundle({
    tee: oneOf('tee', fieldOf(FORMAT, json, 'tee'), BUNDLE_TEES),
    subject: readSubject(fieldOf(FORMAT, json, 'subject')),
    fetchedAt: readTime(json, 'fetchedAt'),
    items,
  })
  // A bundle that promises another end than its items have would mislead whoever schedules by it.
  if (readTime(json, 'expires').getTime() !== bundle.expires.getTime())
    throw new FormatError(FORMAT, 'expires', 0, `not ${bundle.expires.toISOString()}`)
  return bundle
}

/** The contents by kind, in the shape that the appraisals of all TEEs take. */
export function bundleEndorsements({ items }: EndorsementBundle): {
  readonly certificates: Uint8Array[]
  readonly revocationLists: Uint8Array[]
  readonly tcbInfos: Uint8Array[]
  readonly qeIdentities: Uint8Array[]
  readonly manifests: Uint8Array[]
  readonly ocspResponses: Uint8Array[]
} {
  const of = (wanted: ItemKind) =>
    items.filter(({ kind }) => kind === wanted).map(({ data }) => data)
  return {
    certificates: of('certificate'),
    revocationLists: of('revocation-list'),
    tcbInfos: of('tcb-info'),
    qeIdentities: of('qe-identity'),
    manifests: of('manifest'),
    ocspResponses: of('ocsp-response'),
  }
}

function earliest(items: readonly BundleItem[]): Date {
  return new Date(Math.min(...items.map((item) => itemEnd(item).getTime())))
}

function readItem(value: unknown): BundleItem {
  const json = objectOf(FORMAT, 'item', value)
  refuseUnknown(json, ['kind', 'data'])
  const data = text('data', fieldOf(FORMAT, json, 'data'), Math.ceil(LIMITS.itemBytes / 3) * 4)
  return { kind: oneOf('kind', fieldOf(FORMAT, json, 'kind'), ITEM_KINDS), data: fromBase64(data) }
}

function readSubject(value: unknown): BundleSubject {
  const json = objectOf(FORMAT, 'subject', value)
  refuseUnknown(json, SUBJECT_FIELDS)
  return Object.fromEntries(
    Object.entries(json).map(([name, member]) => [name, text(name, member, LIMITS.text)]),
  )
}

function readTime(json: Readonly<Record<string, unknown>>, field: string): Date {
  const written = text(field, fieldOf(FORMAT, json, field), 32)
  const time = new Date(TIME.test(written) ? written : Number.NaN)
  if (Number.isNaN(time.getTime()) || time.toISOString() !== written)
    throw new FormatError(FORMAT, field, 0, 'no time such as 2026-11-25T00:00:00.000Z')
  return time
}

function oneOf<Name extends string>(field: string, value: unknown, names: readonly Name[]): Name {
  const found = names.find((name) => name === value)
  if (found === undefined) throw new FormatError(FORMAT, field, 0, `not one of ${names.join(', ')}`)
  return found
}

function text(field: string, value: unknown, limit: number): string {
  if (typeof value !== 'string' || value.length > limit)
    throw new FormatError(FORMAT, field, 0, `not text of at most ${limit} characters`)
  return value
}

function refuseUnknown(json: Readonly<Record<string, unknown>>, known: readonly string[]): void {
  const unknown = Object.keys(json).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new FormatError(FORMAT, unknown.slice(0, 64), 0, 'is unknown in version 1')
}
