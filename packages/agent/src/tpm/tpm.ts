/** The commands of a TPM 2.0 that attestation needs (TPM 2.0 Library, part 3). One at a time. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { ByteReader } from '@cloister/verifier/bytes/reader'
import { TPM_HASHES, type HashName } from '@cloister/verifier/tpm/algorithms'
import { concatBytes } from '@cloister/verifier/bytes/concat'
import { sized, withSize, word } from '@cloister/verifier/tpm/attest'
import { PCR_COUNT } from '@cloister/verifier/tpm/evidence'
import {
  encodeTpmCommand,
  isAbsent,
  isWorthRepeating,
  parseTpmResponse,
  type TpmCommand,
  type TpmResponse,
} from './command.ts'
import type { TpmDevice } from './device.ts'

/** TPM_RH_ENDORSEMENT: the hierarchy whose seed the TPM's maker put in, or whoever made a virtual one. */
const ENDORSEMENT = 0x4000_000b
/** TPM_RH_NULL, TPM_ALG_NULL. */
const NOTHING = 0x4000_0007
const NO_ALGORITHM = 0x0010
const POLICY_SESSION = 1
const SESSION_NONCE_BYTES = 16
/** One TPM2B_MAX_NV_BUFFER: the least that any TPM gives. */
const NV_CHUNK = 512
/** Of an EK certificate; real ones have 1 to 2 KiB. */
const MAX_NV_BYTES = 8192
const TRIES = 8
const RETRY_MS = 20
const EVERY_PCR = Uint8Array.of(0xff, 0xff, 0xff)

export interface PrimaryKey {
  /** Transient; flush it. */
  readonly handle: number
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array
  readonly name: Uint8Array
}

export interface RawQuote {
  /** TPMS_ATTEST. */
  readonly message: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
}

export class Tpm {
  readonly #device: TpmDevice
  #last: Promise<unknown> = Promise.resolve()

  constructor(device: TpmDevice) {
    this.#device = device
  }

  /** A key of the endorsement hierarchy, which has no password unless its owner set one. */
  createPrimary(template: Uint8Array): Promise<PrimaryKey> {
    return this.#call(
      {
        name: 'createPrimary',
        handles: [ENDORSEMENT],
        authorisations: ['password'],
        // No password for the key, no data; no outside information; no PCRs at creation.
        parameters: [withSize(new Uint8Array(4)), withSize(template), word(2, 0), word(4, 0)],
      },
      (reader, handle) => {
        const publicArea = sized(reader, 'outPublic')
        sized(reader, 'creationData')
        sized(reader, 'creationHash')
        reader.bytes(6, 'creationTicket')
        sized(reader, 'creationTicket.digest')
        return { handle, publicArea, name: sized(reader, 'name') }
      },
    )
  }

  readPublic(handle: number): Promise<Omit<PrimaryKey, 'handle'>> {
    return this.#call({ name: 'readPublic', handles: [handle], parameters: [] }, (reader) => {
      const publicArea = sized(reader, 'outPublic')
      const name = sized(reader, 'name')
      sized(reader, 'qualifiedName')
      return { publicArea, name }
    })
  }

  flushContext(handle: number): Promise<void> {
    return this.#call({ name: 'flushContext', handles: [handle], parameters: [] }, () => undefined)
  }

  /** What an index holds; undefined when there is none. */
  async nvRead(index: number): Promise<Uint8Array | undefined> {
    const size = await this.#nvSize(index)
    if (size === undefined) return undefined
    const chunks: Uint8Array[] = []
    for (let offset = 0; offset < size; offset += NV_CHUNK) {
      const length = Math.min(NV_CHUNK, size - offset)
      const chunk = await this.#call(
        {
          name: 'nvRead',
          handles: [index, index],
          authorisations: ['password'],
          parameters: [word(2, length), word(2, offset)],
        },
        (reader) => sized(reader, 'data'),
      )
      if (chunk.length !== length) throw failed(`${chunk.length} bytes of ${length} at ${offset}`)
      chunks.push(chunk)
    }
    return concatBytes(...chunks)
  }

  async #nvSize(index: number): Promise<number | undefined> {
    try {
      const size = await this.#call(
        { name: 'nvReadPublic', handles: [index], parameters: [] },
        (reader) => {
          const fields = reader.bytes(reader.u16be('nvPublic'), 'nvPublic')
          sized(reader, 'nvName')
          // TPMS_NV_PUBLIC ends with the size of the data.
          return new DataView(fields.buffer, fields.byteOffset).getUint16(fields.length - 2)
        },
      )
      if (size > MAX_NV_BYTES) throw failed(`index 0x${index.toString(16)} has ${size} bytes`)
      return size
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  /** All PCRs of a bank; undefined when the TPM does not keep that bank. */
  async pcrRead(hash: HashName): Promise<readonly Uint8Array[] | undefined> {
    const values: Uint8Array[] = []
    // A response holds eight digests at most.
    while (values.length < PCR_COUNT) {
      const selected = new Uint8Array(3)
      selected.fill(0xff, values.length >> 3)
      const next = await this.#pcrReadSome(hash, selected)
      if (next.length === 0) break
      values.push(...next)
    }
    if (values.length === 0) return undefined
    const { size } = TPM_HASHES[hash]
    if (values.length !== PCR_COUNT || values.some(({ length }) => length !== size))
      throw failed(`${values.length} PCRs of bank ${hash}`)
    return values
  }

  #pcrReadSome(hash: HashName, selected: Uint8Array): Promise<readonly Uint8Array[]> {
    return this.#call(
      { name: 'pcrRead', handles: [], parameters: [selection(hash, selected)] },
      (reader) => {
        reader.u32be('pcrUpdateCounter')
        const banks = reader.u32be('pcrSelectionOut')
        if (banks > 1) throw failed('the TPM gave PCRs of other banks')
        for (let bank = 0; bank < banks; bank++) {
          reader.u16be('hash')
          reader.bytes(reader.u8('sizeofSelect'), 'pcrSelect')
        }
        const count = reader.u32be('pcrValues')
        if (count > 8) throw failed(`${count} digests in a response`)
        return Array.from({ length: count }, () => sized(reader, 'digest'))
      },
    )
  }

  /**
   * A quote over all PCRs of a bank.
   *
   * @param extraData - at most 32 bytes: what every TPM takes
   */
  quote(key: number, extraData: Uint8Array, hash: HashName): Promise<RawQuote> {
    return this.#call(
      {
        name: 'quote',
        handles: [key],
        authorisations: ['password'],
        parameters: [withSize(extraData), word(2, NO_ALGORITHM), selection(hash, EVERY_PCR)],
      },
      (reader) => ({ message: sized(reader, 'quoted'), signature: reader.rest() }),
    )
  }

  /**
   * What was encrypted to an endorsement key for a key of this very TPM: proves that both are in it.
   *
   * @param credential - TPM2B_ID_OBJECT without its size
   * @param secret - TPM2B_ENCRYPTED_SECRET without its size
   */
  async activateCredential(
    keys: { readonly attestationKey: number; readonly endorsementKey: number },
    { credential, secret }: { readonly credential: Uint8Array; readonly secret: Uint8Array },
  ): Promise<Uint8Array> {
    const session = await this.#startPolicySession()
    try {
      await this.#policySecret(session)
      return await this.#call(
        {
          name: 'activateCredential',
          handles: [keys.attestationKey, keys.endorsementKey],
          authorisations: ['password', { session }],
          parameters: [withSize(credential), withSize(secret)],
        },
        (reader) => sized(reader, 'certInfo'),
      )
    } catch (error) {
      // A session that was used is gone already.
      await this.flushContext(session).catch(() => undefined)
      throw error
    }
  }

  #startPolicySession(): Promise<number> {
    return this.#call(
      {
        name: 'startAuthSession',
        handles: [NOTHING, NOTHING],
        parameters: [
          withSize(randomBytes(SESSION_NONCE_BYTES)),
          withSize(new Uint8Array()),
          word(1, POLICY_SESSION),
          word(2, NO_ALGORITHM),
          word(2, TPM_HASHES.sha256.id),
        ],
      },
      (reader, handle) => {
        sized(reader, 'nonceTPM')
        return handle
      },
    )
  }

  #policySecret(session: number): Promise<void> {
    const empty = withSize(new Uint8Array())
    return this.#call(
      {
        name: 'policySecret',
        handles: [ENDORSEMENT, session],
        authorisations: ['password'],
        parameters: [empty, empty, empty, word(4, 0)],
      },
      (reader) => {
        sized(reader, 'timeout')
        reader.bytes(6, 'policyTicket')
        sized(reader, 'policyTicket.digest')
      },
    )
  }

  /** @param read - gets the parameters, all of which it must read, and the handle of what was made */
  #call<Result>(
    command: TpmCommand,
    read: (reader: ByteReader, handle: number) => Result,
  ): Promise<Result> {
    const answer = this.#last.then(() => this.#repeat(command))
    this.#last = answer.catch(() => undefined)
    return answer.then(({ parameters, handle = 0 }) => {
      try {
        const result = read(parameters, handle)
        parameters.end()
        return result
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause
        throw failed(cause.message, cause)
      }
    })
  }

  async #repeat(command: TpmCommand): Promise<TpmResponse> {
    const makesHandle = command.name === 'createPrimary' || command.name === 'startAuthSession'
    const bytes = encodeTpmCommand(command)
    for (let attempt = 1; ; attempt++)
      try {
        return parseTpmResponse(command, await this.#device.transmit(bytes), { makesHandle })
      } catch (error) {
        if (!isWorthRepeating(error) || attempt === TRIES) throw error
        await sleep(RETRY_MS * attempt)
      }
  }
}

/** TPML_PCR_SELECTION of one bank. */
function selection(hash: HashName, selected: Uint8Array): Uint8Array {
  const size = word(1, selected.length)
  return concatBytes(word(4, 1), word(2, TPM_HASHES[hash].id), size, selected)
}

function failed(why: string, cause?: unknown): CloisterError {
  return new CloisterError('agent.tpm-failed', { why, cause })
}
