/**
 * MakeCredential in software (TPM 2.0 Library, part 1, 24 and appendices B and C): encrypts a secret so that only the TPM that holds an endorsement
 * key will open it, and only for the key of the given Name. For endorsement keys by the default templates: Name by SHA-256, AES-128 in CFB.
 */
import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { withSize, word } from '../tpm/attest.ts'

const HASH = 'sha256'
const HASH_BYTES = 32
const SYMMETRIC_BYTES = 16
/** Labels end with a zero byte (part 1, 11.4.10.2). */
const LABEL = { identity: 'IDENTITY\0', storage: 'STORAGE\0', integrity: 'INTEGRITY\0' } as const

export interface Credential {
  /** TPM2B_ID_OBJECT without its size. */
  readonly credential: Buffer
  /** TPM2B_ENCRYPTED_SECRET without its size. */
  readonly secret: Buffer
}

export interface CredentialOptions {
  /** SubjectPublicKeyInfo in DER; see {@link isEndorsementKeySupported}. */
  readonly endorsementKey: Uint8Array
  /** Of the key that must be in the same TPM. */
  readonly name: Uint8Array
  /** At most 32 bytes. */
  readonly secret: Uint8Array
}

/** Of the kinds that the default templates make. */
export function isEndorsementKeySupported(spki: Uint8Array): boolean {
  try {
    return kindOf(importKey(spki)) !== undefined
  } catch {
    // OpenSSL's errors have no class: it is no public key.
    return false
  }
}

/** @throws TypeError for a key of another kind */
export function makeCredential({ endorsementKey, name, secret }: CredentialOptions): Credential {
  const { seed, encrypted } = encryptSeed(importKey(endorsementKey))
  const symmetricKey = kdfa(seed, LABEL.storage, name, SYMMETRIC_BYTES)
  const cipher = createCipheriv('aes-128-cfb', symmetricKey, Buffer.alloc(SYMMETRIC_BYTES))
  const identity = Buffer.concat([cipher.update(withSize(secret)), cipher.final()])
  const macKey = kdfa(seed, LABEL.integrity, Buffer.alloc(0), HASH_BYTES)
  const mac = createHmac(HASH, macKey).update(identity).update(name).digest()
  return { credential: Buffer.concat([withSize(mac), identity]), secret: encrypted }
}

interface Seed {
  readonly seed: Buffer
  readonly encrypted: Buffer
}

function encryptSeed(key: KeyObject): Seed {
  switch (kindOf(key)) {
    case 'rsa': {
      const seed = randomBytes(HASH_BYTES)
      const oaepLabel = Buffer.from(LABEL.identity)
      const padding = constants.RSA_PKCS1_OAEP_PADDING
      return { seed, encrypted: publicEncrypt({ key, padding, oaepHash: HASH, oaepLabel }, seed) }
    }
    case 'ecc': {
      const ephemeral = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: key })
      const [point, static_] = [pointOf(ephemeral.publicKey), pointOf(key)]
      return {
        seed: kdfe(shared, LABEL.identity, point.x, static_.x),
        encrypted: Buffer.concat([withSize(point.x), withSize(point.y)]),
      }
    }
    default:
      throw new TypeError('an endorsement key is RSA-2048 or P-256')
  }
}

/** One block of SP 800-108 in counter mode; contextV is empty in both uses. */
function kdfa(key: Buffer, label: string, context: Uint8Array, size: number): Buffer {
  return createHmac(HASH, key)
    .update(word(4, 1))
    .update(label)
    .update(context)
    .update(word(4, size * 8))
    .digest()
    .subarray(0, size)
}

/** One block of SP 800-56A. */
function kdfe(shared: Buffer, label: string, partyU: Buffer, partyV: Buffer): Buffer {
  return createHash(HASH)
    .update(word(4, 1))
    .update(shared)
    .update(label)
    .update(partyU)
    .update(partyV)
    .digest()
}

function importKey(spki: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
}

function kindOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): 'rsa' | 'ecc' | undefined {
  if (asymmetricKeyType === 'rsa')
    return asymmetricKeyDetails?.modulusLength === 2048 ? 'rsa' : undefined
  const isP256 = asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1'
  return isP256 ? 'ecc' : undefined
}

function pointOf(key: KeyObject): { readonly x: Buffer; readonly y: Buffer } {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') }
}
