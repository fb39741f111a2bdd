/** DER (X.690), as much as certificates need. Definite lengths, low tags, nothing behind the end. */
import { BuiltinError } from '../builtins/registry.ts'

export interface DerNode {
  readonly tag: number
  /** The content. */
  readonly bytes: Uint8Array
  /** Header and content. */
  readonly whole: Uint8Array
}

const MAX_NODES = 10_000

export function malformed(): never {
  throw new BuiltinError('x509: malformed DER')
}

/** The nodes that stand one behind the other in `bytes`. */
export function readNodes(bytes: Uint8Array): DerNode[] {
  const nodes: DerNode[] = []
  for (let at = 0; at < bytes.length;) {
    if (nodes.length > MAX_NODES) malformed()
    const node = readNode(bytes.subarray(at))
    nodes.push(node)
    at += node.whole.length
  }
  return nodes
}

/** The node that `bytes` start with. */
export function readNode(bytes: Uint8Array): DerNode {
  const [tag, first] = bytes
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) malformed()
  let length = first
  let header = 2
  if (first >= 0x80) {
    const count = first & 0x7f
    if (count === 0 || count > 4) malformed()
    length = 0
    for (let at = 0; at < count; at++) length = length * 256 + (bytes[2 + at] ?? malformed())
    if (length < 0x80 || (count > 1 && length < 2 ** (8 * (count - 1)))) malformed()
    header += count
  }
  if (length > bytes.length - header) malformed()
  return {
    tag,
    bytes: bytes.subarray(header, header + length),
    whole: bytes.subarray(0, header + length),
  }
}

export function only(bytes: Uint8Array, tag: number): DerNode {
  const node = readNode(bytes)
  if (node.tag !== tag || node.whole.length !== bytes.length) malformed()
  return node
}

export function objectId({ bytes }: DerNode): string {
  const parts: number[] = []
  let value = 0
  for (const byte of bytes) {
    value = value * 128 + (byte & 0x7f)
    if (value > Number.MAX_SAFE_INTEGER / 128) malformed()
    if (byte < 0x80) {
      parts.push(value)
      value = 0
    }
  }
  const [first = 0, ...rest] = parts
  const root = Math.min(Math.floor(first / 40), 2)
  return [root, first - root * 40, ...rest].join('.')
}

export function integer({ bytes }: DerNode): bigint {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return (bytes[0] ?? 0) >= 0x80 ? value - (1n << BigInt(8 * bytes.length)) : value
}

/** Content of a BIT STRING of whole bytes. */
export function bitString({ bytes }: DerNode): Uint8Array {
  if (bytes[0] !== 0) malformed()
  return bytes.subarray(1)
}

const TAG_BMP = 0x1e

export function text({ tag, bytes }: DerNode): string {
  if (tag !== TAG_BMP) return new TextDecoder(tag === 0x14 ? 'latin1' : 'utf-8').decode(bytes)
  let result = ''
  for (let at = 0; at + 1 < bytes.length; at += 2)
    result += String.fromCharCode(((bytes[at] as number) << 8) | (bytes[at + 1] as number))
  return result
}

/** UTCTime and GeneralizedTime, in nanoseconds since 1970. */
export function time(node: DerNode): Date {
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text(node))
  if (match === null) return malformed()
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number)
  const full = match[1]?.length === 4 ? year : year < 50 ? 2000 + year : 1900 + year
  return new Date(Date.UTC(full, month - 1, day, hour, minute, second))
}
