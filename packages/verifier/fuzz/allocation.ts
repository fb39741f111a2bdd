/**
 * What a refusal may allocate, and how it is measured: two counters of the engine before and after, what lies outside of the heap (the contents of
 * buffers longer than 64 bytes) and what lies on it (objects and text), with what is garbage already. A collection in between only makes them smaller.
 */
import { getHeapStatistics } from 'node:v8'

export interface Allocation {
  /** Bytes. */
  readonly outside: number
  readonly onHeap: number
}

/** Objects have a size of their own, however little of the input they stand for, and a bounded count; a bundle of certificate, OCSP response and manifest needs most, 151 KiB. */
const OBJECTS = 192 << 10
const TIMES = 4
/** Shorter inputs count as so long: some targets put a frame around what they are given, as of a token. */
const LEAST = 16

/** Counters, of which two readings are compared. */
export function readAllocation(): Allocation {
  const { used_heap_size: onHeap, external_memory: outside } = getHeapStatistics()
  return { onHeap, outside }
}

export function allocatedSince(before: Allocation): Allocation {
  const { outside, onHeap } = readAllocation()
  return { outside: outside - before.outside, onHeap: onHeap - before.onHeap }
}

/** @param size - of the input in bytes */
export function isTooMuch({ outside, onHeap }: Allocation, size: number): boolean {
  const most = TIMES * Math.max(size, LEAST)
  return outside > most || outside + onHeap > most + OBJECTS
}
