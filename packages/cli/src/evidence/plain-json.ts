/** A value as JSON can carry it: bytes as hex, 64-bit words as `0x…`, dates as text; everything else as it is. */
export function toPlainJson(value: object): object {
  return JSON.parse(JSON.stringify(value, replacer)) as object
}

function replacer(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  // Buffers turn themselves into objects before they come here.
  const raw = (this as Record<string, unknown>)[key]
  return raw instanceof Uint8Array ? Buffer.from(raw).toString('hex') : value
}
