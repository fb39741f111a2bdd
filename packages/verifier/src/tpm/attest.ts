/** TPMS_ATTEST of a quote (TPM 2.0 Library, part 2, 10.12): what an attestation key signs. Big-endian. */
import { concatBytes } from '../bytes/concat.ts'
import { ByteReader } from '../bytes/reader.ts'

const FORMAT = 'TPM quote'
const GENERATED = 0xff544347
const QUOTE = 0x8018
const MAX_BANKS = 16
const SELECT_BYTES = 3

export interface PcrSelection {
  /** TPM_ALG_ID of the bank. */
  readonly hash: number
  /** Ascending. */
  readonly indexes: readonly number[]
}

export interface TpmAttest {
  /** Name of the key's parents and itself; not checkable without them. */
  readonly qualifiedSigner: Uint8Array
  /** The Verifier's nonce. */
  readonly extraData: Uint8Array
  /** Milliseconds that the TPM has run. */
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  /** Whether the clock never went back. */
  readonly clockSafe: boolean
  readonly firmwareVersion: bigint
  readonly selections: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
}

/** @throws FormatError; `field` is `magic` or `type` where it is no quote that a TPM made */
export function parseTpmAttest(bytes: Uint8Array): TpmAttest {
  const reader = new ByteReader(FORMAT, bytes)
  const magic = reader.u32be('header')
  if (magic !== GENERATED) reader.fail('magic', 0, `0x${magic.toString(16)}`)
  const type = reader.u16be('header')
  if (type !== QUOTE) reader.fail('type', 4, `0x${type.toString(16)}, wanted a quote`)
  const attest = {
    qualifiedSigner: sized(reader, 'qualifiedSigner'),
    extraData: sized(reader, 'extraData'),
    clock: reader.u64be('clock'),
    resetCount: reader.u32be('resetCount'),
    restartCount: reader.u32be('restartCount'),
    clockSafe: readBoolean(reader, 'safe'),
    firmwareVersion: reader.u64be('firmwareVersion'),
    selections: readSelections(reader),
    pcrDigest: sized(reader, 'pcrDigest'),
  }
  reader.end()
  return attest
}

/** The quote's bytes again. */
export function encodeTpmAttest(attest: TpmAttest): Uint8Array<ArrayBuffer> {
  const { selections } = attest
  return concatBytes(
    word(4, GENERATED),
    word(2, QUOTE),
    withSize(attest.qualifiedSigner),
    withSize(attest.extraData),
    word(8, attest.clock),
    word(4, attest.resetCount),
    word(4, attest.restartCount),
    word(1, attest.clockSafe ? 1 : 0),
    word(8, attest.firmwareVersion),
    word(4, selections.length),
    ...selections.flatMap(({ hash, indexes }) => [
      word(2, hash),
      Uint8Array.of(SELECT_BYTES),
      selectBits(indexes),
    ]),
    withSize(attest.pcrDigest),
  )
}

/** A TPM2B: u16 size, then the bytes. */
export function sized(reader: ByteReader, field: string): Uint8Array {
  return reader.bytes(reader.u16be(field), field)
}

export function withSize(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return concatBytes(word(2, bytes.length), bytes)
}

/** An unsigned big-endian word. */
export function word(size: 1 | 2 | 4 | 8, value: number | bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes.slice(8 - size)
}

/** TPMI_YES_NO is 0 or 1. */
function readBoolean(reader: ByteReader, field: string): boolean {
  const start = reader.offset
  const value = reader.u8(field)
  return value > 1 ? reader.fail(field, start, 'neither 0 nor 1') : value === 1
}

function readSelections(reader: ByteReader): PcrSelection[] {
  const start = reader.offset
  const count = reader.u32be('pcrSelect')
  if (count === 0 || count > MAX_BANKS) reader.fail('pcrSelect', start, `${count} banks`)
  const selections: PcrSelection[] = []
  for (let index = 0; index < count; index++) {
    const at = reader.offset
    const hash = reader.u16be('pcrSelect.hash')
    if (selections.some((earlier) => earlier.hash === hash))
      reader.fail('pcrSelect.hash', at, `bank 0x${hash.toString(16)} twice`)
    const size = reader.u8('pcrSelect.sizeofSelect')
    if (size !== SELECT_BYTES) reader.fail('pcrSelect.sizeofSelect', at + 2, `${size}, wanted 3`)
    selections.push({ hash, indexes: setBits(reader.bytes(size, 'pcrSelect.select')) })
  }
  return selections
}

function setBits(select: Uint8Array): number[] {
  const indexes: number[] = []
  for (let index = 0; index < select.length * 8; index++)
    if (((select[index >> 3] as number) & (1 << (index & 7))) !== 0) indexes.push(index)
  return indexes
}

function selectBits(indexes: readonly number[]): Uint8Array {
  const select = new Uint8Array(SELECT_BYTES)
  for (const index of indexes)
    select[index >> 3] = (select[index >> 3] as number) | (1 << (index & 7))
  return select
}
