/**
 * ttrpc frames (containerd/ttrpc PROTOCOL.md): u32 BE data length, u32 BE stream id, u8 type, u8 flags, data. Unary calls only.
 */
import type { Framing } from '../framing.ts'
import { LIMITS } from '../limits.ts'

const HEADER = { length: 0, streamId: 4, type: 8, flags: 9, size: 10 } as const

export const FRAME_TYPE = { request: 1, response: 2, data: 3 } as const

export interface TtrpcFrame {
  /** Odd: streams are opened by clients. */
  readonly streamId: number
  readonly type: number
  readonly flags: number
  readonly data: Uint8Array
}

/** Longer frames end a session: their length is taken for noise. */
export const TTRPC_FRAMING: Framing = {
  headerBytes: HEADER.size,
  frameBytes(header) {
    const length = view(header).getUint32(HEADER.length)
    return length > LIMITS.ttrpcMessageBytes ? undefined : HEADER.size + length
  },
}

export function parseTtrpcFrame(frame: Uint8Array): TtrpcFrame {
  return {
    streamId: view(frame).getUint32(HEADER.streamId),
    type: frame[HEADER.type]!,
    flags: frame[HEADER.flags]!,
    data: frame.subarray(HEADER.size),
  }
}

/** @throws RangeError when `data` is longer than one message may be */
export function encodeTtrpcHeader(streamId: number, type: number, data: Uint8Array): Uint8Array {
  if (data.length > LIMITS.ttrpcMessageBytes)
    throw new RangeError(`a ttrpc message of ${data.length} bytes exceeds the limit`)
  const header = new Uint8Array(HEADER.size)
  view(header).setUint32(HEADER.length, data.length)
  view(header).setUint32(HEADER.streamId, streamId)
  header[HEADER.type] = type
  return header
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
