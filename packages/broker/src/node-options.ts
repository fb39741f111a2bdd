/**
 * For the process that runs the broker, which idles most of its life: a small young generation keeps its memory small. With a quarter of this its
 * collector runs more often, and a handshake costs some 5 % more; so does a collector that divides so little work among threads (bench/broker-rcar.ts).
 */
export const BROKER_NODE_OPTIONS: readonly string[] = [
  '--max-semi-space-size=4',
  '--single-threaded-gc',
]

/** Of glibc: memory that was given back goes back to the kernel, from one place for all threads. Saves 10 MiB after a load. */
export const BROKER_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '131072',
}
