/**
 * JWE (RFC 7516) as ocicrypt's JWE scheme has it: JSON serialization, content A256GCM, RSA-OAEP for the key. Opens RSA-OAEP-256 as well.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import type { UnwrapKey } from './ocicrypt.ts'

const Base64Url = z.string().regex(/^[\w-]*$/)
const RecipientSchema = z.object({
  encrypted_key: Base64Url,
  header: z.object({ alg: z.string().optional() }).optional(),
})
const JweSchema = z.object({
  protected: Base64Url,
  iv: Base64Url,
  ciphertext: Base64Url,
  tag: Base64Url,
  encrypted_key: Base64Url.optional(),
  header: RecipientSchema.shape.header,
  recipients: z.array(RecipientSchema).max(16).optional(),
})
const ProtectedSchema = z.object({
  enc: z.literal('A256GCM'),
  alg: z.string().optional(),
  // A critical extension must be understood, and none is.
  crit: z.undefined().optional(),
  zip: z.undefined().optional(),
})

const OAEP_HASHES: Readonly<Record<string, string>> = {
  'RSA-OAEP': 'sha1',
  'RSA-OAEP-256': 'sha256',
}

export function sealJwe(plaintext: Uint8Array, publicKey: KeyObject): string {
  if (publicKey.asymmetricKeyType !== 'rsa')
    throw new CloisterError('image.signing-key-malformed', {
      why: 'a JWE recipient needs an RSA public key',
    })
  const header = Buffer.from('{"alg":"RSA-OAEP","enc":"A256GCM"}').toString('base64url')
  const key = randomBytes(32)
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(header))
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  const encryptedKey = publicEncrypt({ key: publicKey, ...oaep('sha1') }, key)
  return JSON.stringify({
    protected: header,
    encrypted_key: encryptedKey.toString('base64url'),
    iv: iv.toString('base64url'),
    ciphertext: ciphertext.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
  })
}

/** Opens JWE packets that are for one of the RSA private keys. */
export function jweUnwrapper(privateKeys: readonly KeyObject[]): UnwrapKey {
  return async (wrapped) => {
    if (wrapped.scheme !== 'jwe') return undefined
    for (const key of privateKeys) {
      const opened = openJwe(wrapped.jwe, key)
      if (opened !== undefined) return opened
    }
    return undefined
  }
}

/** Absent: it is not for this key, or not of the supported kind. */
export function openJwe(text: string, privateKey: KeyObject): Uint8Array | undefined {
  try {
    const jwe = JweSchema.parse(JSON.parse(text))
    const header = ProtectedSchema.parse(JSON.parse(decode(jwe.protected).toString('utf8')))
    const recipients = jwe.recipients ?? [
      { encrypted_key: jwe.encrypted_key ?? '', header: jwe.header },
    ]
    for (const recipient of recipients) {
      const alg = header.alg ?? recipient.header?.alg ?? ''
      const opened = openFor(jwe, alg, recipient.encrypted_key, privateKey)
      if (opened !== undefined) return opened
    }
  } catch {
    // What cannot be read is for somebody else.
  }
  return undefined
}

function openFor(
  jwe: z.infer<typeof JweSchema>,
  alg: string,
  encryptedKey: string,
  privateKey: KeyObject,
): Uint8Array | undefined {
  const hash = Object.hasOwn(OAEP_HASHES, alg) ? OAEP_HASHES[alg] : undefined
  const tag = decode(jwe.tag)
  if (hash === undefined || tag.length !== 16) return undefined
  try {
    const key = privateDecrypt({ key: privateKey, ...oaep(hash) }, decode(encryptedKey))
    const decipher = createDecipheriv('aes-256-gcm', key, decode(jwe.iv))
    decipher.setAAD(Buffer.from(jwe.protected))
    decipher.setAuthTag(tag)
    return Buffer.concat([decipher.update(decode(jwe.ciphertext)), decipher.final()])
  } catch {
    return undefined
  }
}

function oaep(hash: string): { oaepHash: string; padding: number } {
  return { oaepHash: hash, padding: constants.RSA_PKCS1_OAEP_PADDING }
}

function decode(text: string): Buffer {
  return Buffer.from(text, 'base64url')
}
