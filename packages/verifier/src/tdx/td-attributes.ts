/** TD attributes (Intel TDX module ABI, ATTRIBUTES): 64 bits, little-endian. */
import { toHex } from '../bytes/hex.ts'

export interface TdAttributes {
  readonly raw: string
  readonly debug: boolean
  /** Other bits of the group "TD under debug". */
  readonly underDebug: boolean
  readonly septVeDisable: boolean
  readonly migratable: boolean
  readonly pks: boolean
  readonly keyLocker: boolean
  readonly perfmon: boolean
  /** Whether bits without a meaning that we know are set. */
  readonly reserved: boolean
}

const KNOWN = (1n << 0n) | (0xfen << 0n) | (0xfn << 28n) | (1n << 63n)

/** @param bytes - 8 bytes of the TD report */
export function readTdAttributes(bytes: Uint8Array): TdAttributes {
  const word = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
  const bit = (number: bigint) => ((word >> number) & 1n) === 1n
  return {
    raw: toHex(bytes),
    debug: bit(0n),
    underDebug: (word & 0xfen) !== 0n,
    septVeDisable: bit(28n),
    migratable: bit(29n),
    pks: bit(30n),
    keyLocker: bit(31n),
    perfmon: bit(63n),
    reserved: (word & ~KNOWN) !== 0n,
  }
}
