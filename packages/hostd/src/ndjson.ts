/** Newline-delimited JSON: one value a line, each line bounded. */

/**
 * Splits a byte stream into its lines without keeping more than one of them.
 *
 * @param limit - most bytes in one line
 * @param tooLong - makes the error thrown when a line exceeds `limit`
 */
export async function* lines(
  source: AsyncIterable<Uint8Array>,
  limit: number,
  tooLong: () => Error,
): AsyncGenerator<string> {
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  for await (const chunk of source) {
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      pending.push(chunk.subarray(start, end))
      if (pendingBytes + end - start > limit) throw tooLong()
      yield Buffer.concat(pending).toString('utf8')
      pending = []
      pendingBytes = 0
      start = end + 1
    }
    if (start < chunk.length) {
      pending.push(chunk.subarray(start))
      pendingBytes += chunk.length - start
      if (pendingBytes > limit) throw tooLong()
    }
  }
  if (pendingBytes > 0) yield Buffer.concat(pending).toString('utf8')
}
