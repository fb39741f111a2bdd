/**
 * Memory that is given back at once. Buffers lie outside of JavaScript's heap, whose collector knows little more of them than their sum: a layer's worth
 * makes it mark everything again and again, and until then each new buffer is fresh memory that the kernel must clear.
 */

/** The bytes are gone afterwards: for a buffer that nobody else reads or writes any more, in another thread neither. */
export function releaseMemory(buffer: ArrayBuffer): void {
  buffer.transfer(0)
}

/** For a chunk that is its reader's own. One that is part of a larger buffer stays. */
export function releaseChunk({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) releaseMemory(buffer)
}
