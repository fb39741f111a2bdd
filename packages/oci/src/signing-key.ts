/**
 * Private keys for signing images: cosign's encrypted key files (`cosign generate-key-pair`: scrypt and secretbox in JSON in PEM) and plain PKCS #8,
 * SEC 1 or PKCS #1 PEM.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  scryptSync,
  type KeyObject,
} from 'node:crypto'
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { openSecretbox, sealSecretbox, SECRETBOX } from './secretbox.ts'

const ENCRYPTED = /-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----([\s\S]+?)-----END/
const PEM_TYPE = 'ENCRYPTED SIGSTORE PRIVATE KEY'
/** What cosign writes and the only cost that it reads besides half of it. */
const SCRYPT = { N: 65_536, r: 8, p: 1 } as const
const SCRYPT_MEMORY = 256 << 20

const KeyFileSchema = z.object({
  kdf: z.object({
    name: z.literal('scrypt'),
    params: z.object({
      N: z.union([z.literal(32_768), z.literal(SCRYPT.N)]),
      r: z.literal(SCRYPT.r),
      p: z.literal(SCRYPT.p),
    }),
    salt: z.base64(),
  }),
  cipher: z.object({ name: z.literal('nacl/secretbox'), nonce: z.base64() }),
  ciphertext: z.base64(),
})

export interface SigningKeyPair {
  /** Cosign's encrypted key file. */
  readonly privateKeyFile: string
  /** SubjectPublicKeyInfo, PEM. */
  readonly publicPem: string
}

/** A new P-256 key, as `cosign generate-key-pair` makes it. @param password may be empty, as with cosign: then the file is not protected */
export function generateSigningKey(password: string): SigningKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    privateKeyFile: encodeSigningKey(privateKey, password),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

function encodeSigningKey(privateKey: KeyObject, password: string): string {
  const salt = randomBytes(32)
  const nonce = randomBytes(SECRETBOX.nonce)
  const der = privateKey.export({ type: 'pkcs8', format: 'der' })
  const file = {
    kdf: { name: 'scrypt', params: SCRYPT, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: sealSecretbox(der, nonce, stretch(password, salt, SCRYPT.N)).toString('base64'),
  }
  const lines =
    Buffer.from(JSON.stringify(file))
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${PEM_TYPE}-----\n${lines.join('\n')}\n-----END ${PEM_TYPE}-----\n`
}

/** @param password only for encrypted files. Throws `image.signing-key-malformed`, for a wrong password too. */
export function parseSigningKey(pem: string, password = ''): KeyObject {
  const encrypted = ENCRYPTED.exec(pem)?.[2]
  try {
    return encrypted === undefined
      ? createPrivateKey({ key: pem, passphrase: password })
      : createPrivateKey({ key: decryptKey(encrypted, password), format: 'der', type: 'pkcs8' })
  } catch (error) {
    if (error instanceof CloisterError) throw error
    throw new CloisterError('image.signing-key-malformed', {
      why: 'it is not a private key in PEM',
    })
  }
}

function decryptKey(base64: string, password: string): Buffer {
  const json: unknown = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'))
  const { kdf, cipher, ciphertext } = KeyFileSchema.parse(json)
  const key = stretch(password, Buffer.from(kdf.salt, 'base64'), kdf.params.N)
  const nonce = Buffer.from(cipher.nonce, 'base64')
  const opened = openSecretbox(Buffer.from(ciphertext, 'base64'), nonce, key)
  if (opened === undefined)
    throw new CloisterError('image.signing-key-malformed', { why: 'the password is wrong' })
  return opened
}

function stretch(password: string, salt: Uint8Array, cost: number): Buffer {
  const { r, p } = SCRYPT
  return scryptSync(password, salt, SECRETBOX.key, { N: cost, r, p, maxmem: SCRYPT_MEMORY })
}
