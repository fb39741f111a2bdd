/**
 * Mux frames: u32 BE stream id, u8 type, u8 zero, u16 BE payload length, payload of at most 16 KiB.
 * The guest opens odd ids, the host even ones from 2; each side's rise and are never used again.
 */
import type { Framing } from '../framing.ts'

const HEADER = { streamId: 0, type: 4, zero: 5, length: 6, size: 8 } as const

export const MUX_PAYLOAD_BYTES = 16 << 10
/** Bytes that a side may send on a new stream before the first window frame. */
export const MUX_INITIAL_WINDOW = 256 << 10

export const MUX_TYPE = {
  /** Payload: name of the target, UTF-8. */
  open: 1,
  opened: 2,
  data: 3,
  /** No more data from this side. */
  end: 4,
  /** Both directions are gone. Payload: a reason's code, UTF-8. */
  reset: 5,
  /** Payload: u32 BE, further bytes that the peer may send. */
  window: 6,
} as const

export interface MuxFrame {
  readonly streamId: number
  readonly type: number
  readonly payload: Uint8Array
}

export const MUX_FRAMING: Framing = {
  headerBytes: HEADER.size,
  frameBytes(header) {
    const type = header[HEADER.type]!
    const length = view(header).getUint16(HEADER.length)
    if (type < MUX_TYPE.open || type > MUX_TYPE.window) return undefined
    if (header[HEADER.zero] !== 0 || length > MUX_PAYLOAD_BYTES) return undefined
    return HEADER.size + length
  },
}

export function parseMuxFrame(frame: Uint8Array): MuxFrame {
  return {
    streamId: view(frame).getUint32(HEADER.streamId),
    type: frame[HEADER.type]!,
    payload: frame.subarray(HEADER.size),
  }
}

export function encodeMuxHeader(streamId: number, type: number, payloadBytes: number): Uint8Array {
  const header = new Uint8Array(HEADER.size)
  view(header).setUint32(HEADER.streamId, streamId)
  header[HEADER.type] = type
  view(header).setUint16(HEADER.length, payloadBytes)
  return header
}

export function encodeWindow(bytes: number): Uint8Array {
  const payload = new Uint8Array(4)
  view(payload).setUint32(0, bytes)
  return payload
}

/** Undefined when the payload of a window frame has another length. */
export function parseWindow(payload: Uint8Array): number | undefined {
  return payload.length === 4 ? view(payload).getUint32(0) : undefined
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
