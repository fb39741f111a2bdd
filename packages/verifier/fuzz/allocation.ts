/** What a refusal may allocate, and how it is measured. */
import { getHeapStatistics } from 'node:v8'

/** The promise, and room for objects, whose number the input's bytes bound, and for the engine's own pages. */
export function mostAllocated(size: number): number {
  return 4 * size + 512 * 1024
}

/** On the heap and outside of it; a collection in between only makes it smaller. */
export function allocatedBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}
