/**
 * Commands and responses of a TPM 2.0 (TPM 2.0 Library, part 1, 18 and part 2, 6): header, handles, authorisations, parameters. Big-endian.
 * Authorisations are passwords or policy sessions without HMAC: the way to the TPM ends in this guest's kernel, and what the TPM signs needs no
 * protection on it.
 */
import { CloisterError } from '@cloister/protocol/error'
import { concatBytes } from '@cloister/verifier/bytes/concat'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { ByteReader } from '@cloister/verifier/bytes/reader'
import { withSize, word } from '@cloister/verifier/tpm/attest'

/** TPM_ST. */
const TAG = { withoutSessions: 0x8001, withSessions: 0x8002 } as const
const HEADER_BYTES = 10
/** What the driver of the kernel takes and gives at most, bytes. */
export const MAX_TPM_MESSAGE = 4096

/** TPM_CC. */
export const TPM_COMMAND = {
  createPrimary: 0x131,
  activateCredential: 0x147,
  nvRead: 0x14e,
  policySecret: 0x151,
  quote: 0x158,
  flushContext: 0x165,
  nvReadPublic: 0x169,
  readPublic: 0x173,
  startAuthSession: 0x176,
  pcrRead: 0x17e,
} as const

export type TpmCommandName = keyof typeof TPM_COMMAND

/** TPM_RS_PW: authorisation by a password. */
const PASSWORD_SESSION = 0x4000_0009

export interface TpmCommand {
  readonly name: TpmCommandName
  readonly handles: readonly number[]
  /** In the order of the handles that want one: the empty password, or a policy session, which ends with the command. */
  readonly authorisations?: readonly ('password' | { readonly session: number })[]
  readonly parameters: readonly Uint8Array[]
}

export function encodeTpmCommand(command: TpmCommand): Uint8Array {
  const { name, handles, authorisations = [], parameters } = command
  const sessions = concatBytes(...authorisations.map(encodeAuthorisation))
  const hasSessions = sessions.length > 0
  const body = concatBytes(
    ...handles.map((handle) => word(4, handle)),
    ...(hasSessions ? [word(4, sessions.length), sessions] : []),
    ...parameters,
  )
  const tag = hasSessions ? TAG.withSessions : TAG.withoutSessions
  return concatBytes(
    word(2, tag),
    word(4, HEADER_BYTES + body.length),
    word(4, TPM_COMMAND[name]),
    body,
  )
}

/** TPMS_AUTH_COMMAND: handle, nonce, attributes, HMAC or password. */
function encodeAuthorisation(authorisation: 'password' | { readonly session: number }): Uint8Array {
  const handle = authorisation === 'password' ? PASSWORD_SESSION : authorisation.session
  const empty = withSize(new Uint8Array())
  return concatBytes(word(4, handle), empty, word(1, 0), empty)
}

export interface TpmResponse {
  /** Of the object or session that the command made. */
  readonly handle?: number
  readonly parameters: ByteReader
}

/**
 * Reads a response.
 *
 * @param makesHandle - whether the command's response starts with a handle
 * @throws CloisterError `agent.tpm-failed` when the TPM refused, or answered what no TPM answers
 */
export function parseTpmResponse(
  { name, authorisations = [] }: TpmCommand,
  bytes: Uint8Array,
  { makesHandle }: { readonly makesHandle: boolean },
): TpmResponse {
  try {
    const reader = new ByteReader(`TPM response to ${name}`, bytes)
    const tag = reader.u16be('tag')
    const size = reader.u32be('responseSize')
    const code = reader.u32be('responseCode')
    if (size !== bytes.length) reader.fail('responseSize', 2, `${size}, got ${bytes.length} bytes`)
    if (code !== 0) throw new TpmRefusal(name, code)
    const hasSessions = authorisations.length > 0
    if (tag !== (hasSessions ? TAG.withSessions : TAG.withoutSessions))
      reader.fail('tag', 0, `0x${tag.toString(16)}`)
    const handle = makesHandle ? { handle: reader.u32be('handle') } : {}
    const parameters = hasSessions
      ? reader.bytes(reader.u32be('parameterSize'), 'parameters')
      : reader.rest()
    return { ...handle, parameters: new ByteReader(`TPM response to ${name}`, parameters) }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('agent.tpm-failed', { why: cause.message, cause })
  }
}

/** The TPM said no. */
export class TpmRefusal extends CloisterError {
  /** TPM_RC. */
  readonly responseCode: number

  constructor(name: TpmCommandName, responseCode: number) {
    super('agent.tpm-failed', {
      where: name,
      received: `response code 0x${responseCode.toString(16)}`,
    })
    this.responseCode = responseCode
  }
}

/** TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY: the same command again will do. */
const TRY_AGAIN: ReadonlySet<number> = new Set([0x908, 0x90a, 0x922])

export function isWorthRepeating(error: unknown): boolean {
  return error instanceof TpmRefusal && TRY_AGAIN.has(error.responseCode)
}

/** TPM_RC_HANDLE at the first handle: nothing is there. */
export function isAbsent(error: unknown): boolean {
  return error instanceof TpmRefusal && error.responseCode === 0x18b
}
