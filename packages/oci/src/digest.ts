/**
 * Content digests, OCI image-spec "Digests": `<algorithm>:<lower-case hex>`; sha256 and sha512 are the registered ones.
 */
import { createHash, type Hash } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'

const HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 }

export function isDigest(text: string): boolean {
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(text)
  return match !== null && match[2]!.length === HEX_LENGTH[match[1]!]
}

/** The algorithm's name and the hex digits; throws `image.manifest-malformed` for anything but sha256 and sha512. */
export function splitDigest(digest: string): { algorithm: 'sha256' | 'sha512'; hex: string } {
  if (!isDigest(digest))
    throw new CloisterError('image.manifest-malformed', {
      why: `"${digest.slice(0, 80)}" is not a sha256 or sha512 digest`,
    })
  const colon = digest.indexOf(':')
  return { algorithm: digest.slice(0, colon) as 'sha256' | 'sha512', hex: digest.slice(colon + 1) }
}

/** `sha256:…` over the bytes. */
export function sha256Digest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A running hash that knows which digest it is to reach. */
export class DigestCheck {
  readonly expected: string
  readonly #hash: Hash
  readonly #algorithm: string

  constructor(expected: string) {
    this.expected = expected
    this.#algorithm = splitDigest(expected).algorithm
    this.#hash = createHash(this.#algorithm)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** Ends the hash; throws with the given code when it is not the expected one. */
  verify(
    where: string,
    code:
      | 'image.digest-mismatch'
      | 'image.diff-id-mismatch'
      | 'image.decryption-failed' = 'image.digest-mismatch',
  ): void {
    const received = `${this.#algorithm}:${this.#hash.digest('hex')}`
    if (received !== this.expected)
      throw new CloisterError(code, { where, expected: this.expected, received })
  }
}

/** Checks bytes that are all there. */
export function verifyDigest(bytes: Uint8Array, expected: string, where: string): void {
  const check = new DigestCheck(expected)
  check.update(bytes)
  check.verify(where)
}
