/**
 * A guest owner's session with the firmware of SEV and SEV-ES (AMD 55766, LAUNCH_START, "Session Data"): two transport keys, wrapped for the platform's
 * key for Diffie-Hellman. What they protect only that processor and this owner can read or make.
 */
import {
  createCipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'

const KEY_BYTES = 16
const CERTIFICATE_BYTES = 2084
const CERTIFICATE = { usage: 0x008, algorithm: 0x00c, curve: 0x010, x: 0x014, y: 0x05c } as const
/** Two places for signatures that stay empty: the firmware takes the owner's key as it comes. */
const SIGNATURE_USAGES = [0x414, 0x61c] as const
const USAGE = { pdh: 0x1003, none: 0x1000 } as const
const ECDH_SHA256 = 0x003
const P384 = 2
const COORDINATE_BYTES = 48

/** Of one launch; both die with the command. */
export interface TransportKeys {
  /** Encrypts, 16 bytes. */
  readonly tek: Buffer
  /** Authenticates, 16 bytes. */
  readonly tik: Buffer
}

export interface OwnerSession {
  /** Base64. */
  readonly certificate: string
  /** Base64 of 128 bytes. */
  readonly session: string
  readonly keys: TransportKeys
}

/**
 * @param pdh - public key of the platform, SubjectPublicKeyInfo in DER, as a chain up to AMD's root gave it
 * @param policy - that the guest must be launched with
 */
export function openLaunchSession(pdh: Uint8Array, policy: number): OwnerSession {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const publicKey = createPublicKey({ key: Buffer.from(pdh), format: 'der', type: 'spki' })
  const keys = { tek: randomBytes(KEY_BYTES), tik: randomBytes(KEY_BYTES) }
  const session = encodeSession({
    shared: diffieHellman({ privateKey: own.privateKey, publicKey }),
    keys,
    nonce: randomBytes(16),
    iv: randomBytes(16),
    policy,
  })
  const certificate = encodeCertificate(own.publicKey).toString('base64')
  return { certificate, session: session.toString('base64'), keys }
}

export interface SessionParts {
  /** What Diffie-Hellman came to. */
  readonly shared: Uint8Array
  readonly keys: TransportKeys
  /** 16 bytes, each. */
  readonly nonce: Uint8Array
  readonly iv: Uint8Array
  readonly policy: number
}

/** 128 bytes: nonce 16, wrapped keys 32, IV 16, MAC of those 32, MAC of the policy 32. */
export function encodeSession({ shared, keys, nonce, iv, policy }: SessionParts): Buffer {
  const master = derive(shared, 'sev-master-secret', nonce)
  const [kek, kik] = [derive(master, 'sev-kek'), derive(master, 'sev-kik')]
  const cipher = createCipheriv('aes-128-ctr', kek, iv)
  const wrapped = Buffer.concat([cipher.update(keys.tek), cipher.update(keys.tik), cipher.final()])
  return Buffer.concat([nonce, wrapped, iv, hmac(kik, wrapped), hmac(keys.tik, u32(policy))])
}

/** NIST SP 800-108, counter mode, HMAC-SHA-256, one block; numbers little-endian. */
function derive(key: Uint8Array, label: string, context: Uint8Array = new Uint8Array()): Buffer {
  const bits = u32(8 * KEY_BYTES)
  const parts = [u32(1), Buffer.from(label), Buffer.alloc(1), context, bits]
  return hmac(key, ...parts).subarray(0, KEY_BYTES)
}

export function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** As `sev/certificate` of the verifier reads them. */
function encodeCertificate(key: KeyObject): Buffer {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const bytes = Buffer.alloc(CERTIFICATE_BYTES)
  bytes.writeUInt32LE(1)
  bytes.writeUInt32LE(USAGE.pdh, CERTIFICATE.usage)
  bytes.writeUInt32LE(ECDH_SHA256, CERTIFICATE.algorithm)
  bytes.writeUInt32LE(P384, CERTIFICATE.curve)
  bytes.set(coordinate(x), CERTIFICATE.x)
  bytes.set(coordinate(y), CERTIFICATE.y)
  for (const offset of SIGNATURE_USAGES) bytes.writeUInt32LE(USAGE.none, offset)
  return bytes
}

/** Little-endian. */
function coordinate(text: string): Buffer {
  const bytes = Buffer.alloc(COORDINATE_BYTES)
  const number = Buffer.from(text, 'base64url')
  bytes.set(number, COORDINATE_BYTES - number.length)
  return bytes.reverse()
}
