/**
 * C2SP tlog-checkpoint: a log's size and root as a signed note, with Ed25519. A log is named by its origin, which is the name of its key too.
 */
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { HASH_BYTES, type TreeHead } from './merkle.ts'

/** Algorithm of signed notes; stands before the key. */
const ED25519 = 1
const KEY_ID_BYTES = 4
const PUBLIC_KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
/** Far above what a checkpoint needs. */
const MAX_NOTE = 1 << 16

/** A log's public key with its name. */
export interface LogKey {
  readonly origin: string
  /** 4 bytes: which of the name's keys signed. */
  readonly id: Buffer
  readonly key: KeyObject
}

/** @param key - Ed25519, public or private */
export function logKey(origin: string, key: KeyObject): LogKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return { origin, id: keyId(origin, rawKey(publicKey)), key: publicKey }
}

/** The key in the text form of signed notes: `<name>+<id>+<key>`. */
export function encodeLogKey({ origin, id, key }: LogKey): string {
  const encoded = Buffer.concat([Uint8Array.of(ED25519), rawKey(key)])
  return `${origin}+${id.toString('hex')}+${encoded.toString('base64')}`
}

/** @returns undefined when it is no Ed25519 key in that form */
export function parseLogKey(text: string): LogKey | undefined {
  const match = /^([^\s+]{1,256})\+[0-9a-f]{8}\+([A-Za-z0-9+/=]{1,64})$/.exec(text)
  if (match === null) return undefined
  const [, origin = '', encoded = ''] = match
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.length !== 1 + PUBLIC_KEY_BYTES || bytes[0] !== ED25519) return undefined
  const spki = Buffer.concat([SPKI_PREFIX, bytes.subarray(1)])
  const log = logKey(origin, createPublicKey({ key: spki, format: 'der', type: 'spki' }))
  return encodeLogKey(log) === text ? log : undefined
}

/** @param privateKey - Ed25519 */
export function signCheckpoint(
  origin: string,
  { size, root }: TreeHead,
  privateKey: KeyObject,
): string {
  const text = `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`
  const { id } = logKey(origin, privateKey)
  const signature = Buffer.concat([id, sign(null, Buffer.from(text), privateKey)])
  return `${text}\n— ${origin} ${signature.toString('base64')}\n`
}

/**
 * @param note - attacker-controlled. Signatures by other keys may stand beside the log's; extension lines are passed over
 * @returns undefined unless the log's key signed a size and a root
 */
export function openCheckpoint(note: string, log: LogKey): TreeHead | undefined {
  if (note.length > MAX_NOTE) return undefined
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.endsWith('\n')) return undefined
  const text = note.slice(0, end + 1)
  const lines = note.slice(end + 2, -1).split('\n')
  if (!lines.some((line) => isSignature(line, text, log))) return undefined
  const [origin, size = '', root = ''] = text.split('\n')
  const hash = Buffer.from(root, 'base64')
  const isCanonical = /^(?:0|[1-9]\d{0,14})$/.test(size) && hash.toString('base64') === root
  if (origin !== log.origin || !isCanonical || hash.length !== HASH_BYTES) return undefined
  return { size: Number(size), root: hash }
}

function isSignature(line: string, text: string, { origin, id, key }: LogKey): boolean {
  const prefix = `— ${origin} `
  if (!line.startsWith(prefix)) return false
  const bytes = Buffer.from(line.slice(prefix.length), 'base64')
  return (
    bytes.length === KEY_ID_BYTES + SIGNATURE_BYTES &&
    bytes.subarray(0, KEY_ID_BYTES).equals(id) &&
    verify(null, Buffer.from(text), key, bytes.subarray(KEY_ID_BYTES))
  )
}

function keyId(origin: string, raw: Uint8Array): Buffer {
  return createHash('sha256')
    .update(`${origin}\n`)
    .update(Uint8Array.of(ED25519))
    .update(raw)
    .digest()
    .subarray(0, KEY_ID_BYTES)
}

function rawKey(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length)
}
