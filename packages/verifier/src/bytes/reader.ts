import { FormatError } from './format-error.ts'

/** Reads fixed and variable layouts from front to back; the one place that checks bounds. */
export class ByteReader {
  readonly #format: string
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(format: string, bytes: Uint8Array) {
    this.#format = format
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get offset(): number {
    return this.#offset
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(1, field))
  }

  u16le(field: string): number {
    return this.#view.getUint16(this.#take(2, field), true)
  }

  u16be(field: string): number {
    return this.#view.getUint16(this.#take(2, field), false)
  }

  u32le(field: string): number {
    return this.#view.getUint32(this.#take(4, field), true)
  }

  u32be(field: string): number {
    return this.#view.getUint32(this.#take(4, field), false)
  }

  u64le(field: string): bigint {
    return this.#view.getBigUint64(this.#take(8, field), true)
  }

  u64be(field: string): bigint {
    return this.#view.getBigUint64(this.#take(8, field), false)
  }

  /** A view into the input, not a copy. */
  bytes(length: number, field: string): Uint8Array {
    const start = this.#take(length, field)
    return this.#bytes.subarray(start, start + length)
  }

  /** Passes bytes without a view of them. */
  skip(length: number, field: string): void {
    this.#take(length, field)
  }

  /** Everything that is left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.left, 'rest')
  }

  /** Skips bytes that the specification says are zero. */
  zeros(length: number, field: string): void {
    const start = this.#offset
    if (!isZero(this.bytes(length, field))) this.fail(field, start, 'reserved bytes are not zero')
  }

  /** Trailing bytes are an error. */
  end(): void {
    if (this.left !== 0) this.fail('end', this.#offset, `${this.left} bytes too many`)
  }

  fail(field: string, offset: number, problem: string): never {
    throw new FormatError(this.#format, field, offset, problem)
  }

  #take(length: number, field: string): number {
    const start = this.#offset
    if (length > this.left) this.fail(field, start, `needs ${length} bytes, ${this.left} left`)
    this.#offset = start + length
    return start
  }
}

export function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false
  return true
}
