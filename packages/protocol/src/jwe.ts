/**
 * The JWE in which the broker hands out resources (RFC 7516, flattened JSON): A256GCM under a key that is wrapped for the
 * Attester's key by ECDH-ES+A256KW or RSA-OAEP-256. Clients of Confidential Containers write the protected header anew before
 * they authenticate it, so its members stand in a fixed order: `alg`, `enc`, then the rest by name.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  createSecretKey,
  constants,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import { CloisterError } from './error.ts'
import { FlattenedJweSchema, type FlattenedJwe, type TeePublicKey } from './kbs.ts'

const ENC = 'A256GCM'
const ECDH = 'ECDH-ES+A256KW'
const RSA = 'RSA-OAEP-256'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
/** RFC 3394, 2.2.3.1. */
const KEY_WRAP_IV = Buffer.alloc(8, 0xa6)
const CURVES: Readonly<Record<string, string>> = { 'P-256': 'prime256v1', 'P-521': 'secp521r1' }

interface WrappedKey {
  readonly header: string
  readonly encryptedKey: Buffer
}

/**
 * Encrypts a resource for one Attester's key.
 *
 * @throws CloisterError `jwe.malformed` when the key is not a point of its curve or not an RSA key
 */
export function encryptJwe(plaintext: Uint8Array, recipient: TeePublicKey): FlattenedJwe {
  const random = randomBytes(KEY_BYTES + IV_BYTES)
  const contentKey = random.subarray(0, KEY_BYTES)
  const iv = random.subarray(KEY_BYTES)
  const { header, encryptedKey } = wrapKey(contentKey, recipient)
  const protectedHeader = Buffer.from(header).toString('base64url')
  const cipher = createCipheriv('aes-256-gcm', createSecretKey(contentKey), iv)
  cipher.setAAD(Buffer.from(protectedHeader, 'ascii'))
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  contentKey.fill(0)
  return {
    protected: protectedHeader,
    encrypted_key: encryptedKey.toString('base64url'),
    iv: iv.toString('base64url'),
    ciphertext: ciphertext.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
  }
}

/**
 * Opens a resource with the Attester's private key.
 *
 * @param jwe - untrusted, as parsed from JSON
 * @param key - private EC (P-256, P-521) or RSA key
 * @throws CloisterError `jwe.malformed` for anything that does not open: shape, algorithm, curve, key or tag
 */
export function decryptJwe(jwe: unknown, key: KeyObject): Buffer {
  const parsed = FlattenedJweSchema.safeParse(jwe)
  if (!parsed.success) throw malformed('its members are not those of a flattened JWE')
  try {
    return openParsed(parsed.data, key)
  } catch (error) {
    if (error instanceof CloisterError) throw error
    throw malformed('it does not open with this key', error)
  }
}

function openParsed(jwe: FlattenedJwe, key: KeyObject): Buffer {
  const header = readHeader(jwe.protected)
  const iv = Buffer.from(jwe.iv, 'base64url')
  const tag = Buffer.from(jwe.tag, 'base64url')
  if (iv.length !== IV_BYTES || tag.length !== TAG_BYTES)
    throw malformed('its initialization vector or tag has the wrong length')
  const contentKey = unwrapKey(header, Buffer.from(jwe.encrypted_key, 'base64url'), key)
  const decipher = createDecipheriv('aes-256-gcm', contentKey, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(jwe.protected, 'ascii'))
  decipher.setAuthTag(tag)
  const plaintext = Buffer.concat([
    decipher.update(Buffer.from(jwe.ciphertext, 'base64url')),
    decipher.final(),
  ])
  contentKey.fill(0)
  return plaintext
}

interface Header {
  readonly alg: typeof ECDH | typeof RSA
  readonly epk?: Record<string, unknown>
}

function readHeader(text: string): Header {
  const header = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Record<
    string,
    unknown
  >
  // RFC 7516, 4.1.13: an extension that must be understood is one that we do not.
  if (header['crit'] !== undefined) throw malformed('its header has critical extensions')
  if (header['enc'] !== ENC) throw malformed('its content encryption is not A256GCM')
  const { alg, epk } = header
  if (alg === RSA) return { alg }
  if (alg === ECDH && typeof epk === 'object' && epk !== null)
    return { alg, epk: epk as Record<string, unknown> }
  throw malformed('its key algorithm is not one of ours')
}

function wrapKey(contentKey: Buffer, recipient: TeePublicKey): WrappedKey {
  const key = importKey(recipient)
  if (recipient.kty === 'RSA')
    return {
      header: JSON.stringify({ alg: RSA, enc: ENC }),
      encryptedKey: publicEncrypt(
        { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
        contentKey,
      ),
    }
  const ephemeral = generateKeyPairSync('ec', { namedCurve: CURVES[recipient.crv] as string })
  const { x, y } = ephemeral.publicKey.export({ format: 'jwk' })
  const epk = { crv: recipient.crv, kty: 'EC', x, y }
  const keyEncryptionKey = concatKdf(
    diffieHellman({ privateKey: ephemeral.privateKey, publicKey: key }),
  )
  const cipher = createCipheriv('id-aes256-wrap', keyEncryptionKey, KEY_WRAP_IV)
  return {
    header: JSON.stringify({ alg: ECDH, enc: ENC, epk }),
    encryptedKey: Buffer.concat([cipher.update(contentKey), cipher.final()]),
  }
}

function unwrapKey(header: Header, encryptedKey: Buffer, key: KeyObject): Buffer {
  const contentKey =
    header.epk === undefined
      ? privateDecrypt(
          { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
          encryptedKey,
        )
      : unwrapAgreed(header.epk, encryptedKey, key)
  if (contentKey.length !== KEY_BYTES) throw malformed('its content key does not have 32 bytes')
  return contentKey
}

function unwrapAgreed(epk: Record<string, unknown>, encryptedKey: Buffer, key: KeyObject): Buffer {
  const curve = CURVES[String(epk['crv'])]
  if (curve === undefined || curve !== key.asymmetricKeyDetails?.namedCurve)
    throw malformed('its ephemeral key is on another curve')
  const { crv, x, y } = epk as Record<string, string>
  // Importing a JWK checks that the point is on the curve.
  const publicKey = createPublicKey({
    key: { kty: 'EC', crv, x, y } as JsonWebKey,
    format: 'jwk',
  })
  const decipher = createDecipheriv(
    'id-aes256-wrap',
    concatKdf(diffieHellman({ privateKey: key, publicKey })),
    KEY_WRAP_IV,
  )
  return Buffer.concat([decipher.update(encryptedKey), decipher.final()])
}

/** SubjectPublicKeyInfo up to and with the mark of an uncompressed point (RFC 5480, 2). */
const POINT_HEADS: Readonly<Record<'P-256' | 'P-521', string>> = {
  'P-256': '3059301306072a8648ce3d020106082a8648ce3d03010703420004',
  'P-521': '30819b301006072a8648ce3d020106052b810400230381860004',
}

/** Importing checks that the point is on the curve. */
function importKey(recipient: TeePublicKey): KeyObject {
  try {
    // As text, which costs Node half of what the options object around a JWK does (bench/broker-rcar.ts).
    return recipient.kty === 'EC'
      ? createPublicKey(pointPem(recipient))
      : createPublicKey({ key: recipient, format: 'jwk' })
  } catch (error) {
    throw malformed('the recipient is not a usable public key', error)
  }
}

function pointPem({ crv, x, y }: Extract<TeePublicKey, { kty: 'EC' }>): string {
  const spki = Buffer.concat([
    Buffer.from(POINT_HEADS[crv], 'hex'),
    Buffer.from(x, 'base64url'),
    Buffer.from(y, 'base64url'),
  ])
  return `-----BEGIN PUBLIC KEY-----\n${spki.toString('base64')}\n-----END PUBLIC KEY-----\n`
}

const KDF_PREFIX = Buffer.from([0, 0, 0, 1])
/** RFC 7518, 4.6.2: AlgorithmID, empty PartyUInfo and PartyVInfo, 256 bits. */
const KDF_INFO = Buffer.concat([
  Buffer.from([0, 0, 0, ECDH.length]),
  Buffer.from(ECDH, 'ascii'),
  Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
])

/** One round of Concat KDF with SHA-256, which gives just the 32 bytes wanted. */
function concatKdf(sharedSecret: Buffer): KeyObject {
  const hash = createHash('sha256').update(KDF_PREFIX).update(sharedSecret).update(KDF_INFO)
  return createSecretKey(hash.digest())
}

function malformed(why: string, cause?: unknown): CloisterError {
  return new CloisterError('jwe.malformed', { why, cause })
}
