/**
 * CoCo initdata: a TOML document whose digest the host must put into the TEE's field (SNP: HOST_DATA) at launch. It is
 * integrity-protected, and readable by the host. What counts is its exact bytes: other bytes with the same content are other initdata.
 *
 * Shape: `version = "0.1.0"`, `algorithm`, `[data]` with strings. Delivered as a disk: ASCII `initdata`, u64 LE length, gzip of the
 * document, zero-padded to a multiple of 512.
 */
import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { parse } from 'smol-toml'
import { z } from 'zod'
import { CloisterError } from './error.ts'
import { LIMITS } from './limits.ts'
import {
  isVmWorkload,
  VmWorkloadSchema,
  type AnyWorkload,
  type VmWorkloadInput,
} from './vm-workload.ts'
import { WorkloadSchema, type Workload, type WorkloadInput } from './workload.ts'

/** Members of `[data]` that Cloister reads; the others are for the workload or for other readers. */
export const INITDATA_MEMBERS = { workload: 'cloister.json', policy: 'policy.rego' } as const

const INITDATA_ALGORITHMS = ['sha256', 'sha384', 'sha512'] as const
export type InitdataAlgorithm = (typeof INITDATA_ALGORITHMS)[number]

export interface Initdata {
  readonly algorithm: InitdataAlgorithm
  readonly data: Readonly<Record<string, string>>
}

const VERSION = '0.1.0'
const InitdataSchema = z.strictObject({
  version: z.literal(VERSION),
  algorithm: z.enum(INITDATA_ALGORITHMS),
  data: z.record(z.string(), z.string()).default({}),
})

/** @throws CloisterError `initdata.malformed`, `initdata.too-large` */
export function parseInitdata(document: Uint8Array): Initdata {
  assertSize(document.length, LIMITS.initdataBytes)
  let value: unknown
  try {
    value = parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(document))
  } catch (cause) {
    throw new CloisterError('initdata.malformed', { why: 'it is not TOML in UTF-8', cause })
  }
  const parsed = InitdataSchema.safeParse(value)
  if (!parsed.success)
    throw new CloisterError('initdata.malformed', { why: firstIssue(parsed.error) })
  return { algorithm: parsed.data.algorithm, data: parsed.data.data }
}

/**
 * Writes the document. Members keep their order; the same initdata gives the same bytes.
 *
 * @throws CloisterError `initdata.malformed` when a name or value holds what TOML cannot, `initdata.too-large`
 */
export function encodeInitdata(initdata: Initdata): Uint8Array {
  const lines = [
    `version = "${VERSION}"`,
    `algorithm = "${initdata.algorithm}"`,
    '',
    '[data]',
    ...Object.entries(initdata.data).map(
      ([name, value]) => `${basic(name)} = ${encodeText(value)}`,
    ),
  ]
  const document = new TextEncoder().encode(`${lines.join('\n')}\n`)
  const { data } = parseInitdata(document)
  if (JSON.stringify(Object.entries(data)) !== JSON.stringify(Object.entries(initdata.data)))
    throw new CloisterError('initdata.malformed', { why: 'a member cannot be written as TOML' })
  return document
}

/** The digest of exactly these bytes: 32, 48 or 64 bytes. */
export function initdataDigest(
  document: Uint8Array,
  algorithm: InitdataAlgorithm = 'sha256',
): Uint8Array {
  return createHash(algorithm).update(document).digest()
}

/** A digest as it stands in a TEE's field of `fieldBytes`: cut, or zero-padded, at its end. */
export function initdataField(digest: Uint8Array, fieldBytes: number): Uint8Array {
  const field = new Uint8Array(fieldBytes)
  field.set(digest.subarray(0, fieldBytes))
  return field
}

const DISK = { magic: 'initdata', lengthOffset: 8, dataOffset: 16, blockBytes: 512 } as const

/** @throws CloisterError `initdata.too-large` */
export function encodeInitdataDisk(document: Uint8Array): Uint8Array {
  assertSize(document.length, LIMITS.initdataBytes)
  const packed = gzipSync(document, { level: 9 })
  assertSize(packed.length, LIMITS.initdataDiskBytes)
  const size = DISK.dataOffset + packed.length
  const disk = new Uint8Array(Math.ceil(size / DISK.blockBytes) * DISK.blockBytes)
  disk.set(new TextEncoder().encode(DISK.magic))
  new DataView(disk.buffer).setBigUint64(DISK.lengthOffset, BigInt(packed.length), true)
  disk.set(packed, DISK.dataOffset)
  return disk
}

/** Bytes of a disk that hold everything there may be in it; a reader takes no more. */
export const INITDATA_DISK_BYTES: number = DISK.dataOffset + LIMITS.initdataDiskBytes

/**
 * The document on a disk. Attacker-controlled: the disk, until the digest of what this returns has been compared.
 *
 * @param disk - the disk's first bytes, at most {@link INITDATA_DISK_BYTES} of them are looked at
 * @throws CloisterError `initdata.malformed`, `initdata.too-large`
 */
export function parseInitdataDisk(disk: Uint8Array): Uint8Array {
  const magic = new TextDecoder('latin1').decode(disk.subarray(0, DISK.lengthOffset))
  if (magic !== DISK.magic || disk.length < DISK.dataOffset)
    throw new CloisterError('initdata.malformed', { why: 'the disk does not begin with its magic' })
  const view = new DataView(disk.buffer, disk.byteOffset, disk.byteLength)
  const length = view.getBigUint64(DISK.lengthOffset, true)
  if (length > BigInt(LIMITS.initdataDiskBytes)) throw new CloisterError('initdata.too-large')
  const end = DISK.dataOffset + Number(length)
  if (end > disk.length)
    throw new CloisterError('initdata.malformed', { why: 'the disk ends before its document' })
  try {
    return gunzipSync(disk.subarray(DISK.dataOffset, end), {
      maxOutputLength: LIMITS.initdataBytes,
    })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new CloisterError('initdata.too-large', { cause })
    throw new CloisterError('initdata.malformed', { why: 'the disk holds no gzip', cause })
  }
}

/** Initdata that holds a workload, and an agent policy in Rego when there is one. */
export function initdataOf(workload: WorkloadInput | VmWorkloadInput, policy?: string): Initdata {
  return {
    algorithm: 'sha256',
    data: {
      [INITDATA_MEMBERS.workload]: JSON.stringify(workload),
      ...(policy !== undefined && { [INITDATA_MEMBERS.policy]: policy }),
    },
  }
}

/** The workload of a container. @throws CloisterError `initdata.workload-malformed`, for that of a VM too */
export function parseWorkload(initdata: Initdata): Workload {
  const workload = parseAnyWorkload(initdata)
  if (!isVmWorkload(workload)) return workload
  throw new CloisterError('initdata.workload-malformed', {
    expected: 'a container',
    received: 'a VM',
  })
}

/** @throws CloisterError `initdata.workload-malformed` */
export function parseAnyWorkload(initdata: Initdata): AnyWorkload {
  const text = initdata.data[INITDATA_MEMBERS.workload]
  if (text === undefined)
    throw new CloisterError('initdata.workload-malformed', { why: 'there is no cloister.json' })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new CloisterError('initdata.workload-malformed', { why: 'it is not JSON', cause })
  }
  const isVm = typeof value === 'object' && value !== null && 'vm' in value
  const parsed = (isVm ? VmWorkloadSchema : WorkloadSchema).safeParse(value)
  if (!parsed.success)
    throw new CloisterError('initdata.workload-malformed', { why: firstIssue(parsed.error) })
  return parsed.data
}

function assertSize(bytes: number, limit: number): void {
  if (bytes > limit)
    throw new CloisterError('initdata.too-large', {
      expected: `at most ${limit} bytes`,
      received: `${bytes} bytes`,
    })
}

/** A multi-line literal string where it can hold the value unchanged, for people to read; else a basic string. */
function encodeText(value: string): string {
  // eslint-disable-next-line no-control-regex -- these are what a literal string may not hold
  const isLiteral = !/[\u0000-\u0008\u000b-\u001f\u007f]|'''|'$/.test(value)
  return isLiteral ? `'''\n${value}'''` : basic(value)
}

/** TOML's basic strings take every escape of JSON's. */
function basic(value: string): string {
  if (!value.isWellFormed())
    throw new CloisterError('initdata.malformed', { why: 'a text is not well-formed Unicode' })
  return JSON.stringify(value).replaceAll('\u007f', '\\u007f')
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  return issue === undefined
    ? 'it does not have the documented shape'
    : `${issue.path.map(String).join('.') || 'the document'}: ${issue.message}`.slice(0, 200)
}
