/**
 * For the process that runs the broker, which idles most of its life: a small young generation keeps its memory small. With a quarter of this its
 * collector runs more often, and a handshake costs some 5 % more; so does a collector that divides so little work among threads (bench/broker-rcar.ts).
 *
 * V8 compiles for speed what was called 3000 times, and most of a handshake is called once or thrice in each: with these numbers a broker is as fast after some hundred
 * handshakes as it would be after thousands, 5 to 16 % less for each.
 */
export const BROKER_NODE_OPTIONS: readonly string[] = [
  '--max-semi-space-size=4',
  '--single-threaded-gc',
  '--invocation-count-for-maglev=150',
  '--invocation-count-for-turbofan=600',
]

/**
 * Of glibc: memory that was given back goes back to the kernel, from one place for all threads; the compiler's pieces, of 32 KiB each, by themselves, for between them lies what stays.
 * Saves 10 MiB after a load by the one, 16 by the other.
 */
export const BROKER_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '131072',
  MALLOC_MMAP_THRESHOLD_: '32768',
}
