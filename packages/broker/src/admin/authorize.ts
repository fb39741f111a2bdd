/** Who may call the owner's side: whoever holds the owner's Ed25519 key and says so in a short-lived JWT for this broker. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { ADMIN_ROLE, ADMIN_TOKEN_SECONDS } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { errors, jwtVerify, type JWTPayload } from 'jose'

/** Clocks of owner and broker may differ by so much, seconds. */
const CLOCK_TOLERANCE = 5
/** The last time that JavaScript can write, milliseconds. */
const LAST_TIME = 8.64e15

export type AuthorizeAdmin = (authorization: string | undefined, now: number) => Promise<void>

/**
 * @param publicKeys - Ed25519, SPKI in PEM
 * @param audience - the broker's URL, known once it listens; a token for another broker is refused
 * @throws CloisterError `request.malformed` for a key of another kind
 * @returns a function that throws `broker.admin.unauthorized` for anything but a good token
 */
export function adminAuthorizer(
  publicKeys: readonly string[],
  audience: () => string,
): AuthorizeAdmin {
  const keys = publicKeys.map(importEd25519)
  return async (authorization, now) => {
    const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(authorization ?? '')?.[1]
    if (token === undefined) throw unauthorized('there is no bearer token')
    const claims = await firstVerified(token, keys, audience(), now)
    if (claims === undefined) throw unauthorized("the token is not signed by the owner's key")
    if (claims['role'] !== ADMIN_ROLE) throw unauthorized('the token has another role')
    const left = (claims.exp ?? Infinity) - now / 1000
    if (left > ADMIN_TOKEN_SECONDS + CLOCK_TOLERANCE)
      throw outOfTime(
        `the token lives longer than ${ADMIN_TOKEN_SECONDS} seconds: its clock is ahead of the broker's`,
        claims,
        now,
      )
  }
}

async function firstVerified(
  token: string,
  keys: readonly KeyObject[],
  audience: string,
  now: number,
): Promise<JWTPayload | undefined> {
  for (const key of keys)
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['EdDSA', 'Ed25519'],
        audience,
        currentDate: new Date(now),
        clockTolerance: CLOCK_TOLERANCE,
        requiredClaims: ['exp', 'aud', 'role'],
      })
      return payload
    } catch (error) {
      // Claims are looked at after the signature: this key did sign it.
      if (error instanceof errors.JWTExpired)
        throw outOfTime(
          "the token has run out: its clock is behind the broker's",
          error.payload,
          now,
        )
      // Another key may have signed it; when none did, the caller refuses.
    }
  return undefined
}

function importEd25519(pem: string): KeyObject {
  const why = "the owner's admin key must be an Ed25519 public key in PEM"
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (cause) {
    throw new CloisterError('request.malformed', { why, cause })
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  const received = String(key.asymmetricKeyType)
  throw new CloisterError('request.malformed', { why, received })
}

function outOfTime(why: string, { exp = 0 }: JWTPayload, now: number): CloisterError {
  const text = (ms: number) => new Date(Math.max(-LAST_TIME, Math.min(ms, LAST_TIME))).toISOString()
  return new CloisterError('broker.admin.unauthorized', {
    why,
    expected: `a token until at most ${ADMIN_TOKEN_SECONDS} s after ${text(now)}`,
    received: `one until ${text(exp * 1000)}`,
  })
}

function unauthorized(why: string): CloisterError {
  return new CloisterError('broker.admin.unauthorized', { why })
}
