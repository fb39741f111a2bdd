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

/** Of the lower and of the upper 32 bits. */
const KNOWN = [0xf000_00ff, 0x8000_0000] as const

/** @param bytes - 8 bytes of the TD report */
export function readTdAttributes(bytes: Uint8Array): TdAttributes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8)
  const low = view.getUint32(0, true)
  const high = view.getUint32(4, true)
  const bit = (number: number) => ((low >>> number) & 1) === 1
  return {
    raw: toHex(bytes),
    debug: bit(0),
    underDebug: (low & 0xfe) !== 0,
    septVeDisable: bit(28),
    migratable: bit(29),
    pks: bit(30),
    keyLocker: bit(31),
    perfmon: high >>> 31 === 1,
    reserved: (low & ~KNOWN[0]) !== 0 || (high & ~KNOWN[1]) !== 0,
  }
}
