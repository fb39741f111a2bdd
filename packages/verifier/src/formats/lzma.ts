/** Decompresses LZMA as EDK II's tools write it: the "alone" format of the LZMA SDK (lzma-specification.txt), one stream with its size ahead. */
import { FormatError } from '../bytes/format-error.ts'

const FORMAT = 'LZMA'
const HEADER_BYTES = 13
const TOP = 2 ** 24
const MODEL_BITS = 11
const MODEL_TOTAL = 1 << MODEL_BITS
const MOVE_BITS = 5
const LENGTH_MIN = 2
const LENGTH_STATES = 4
const POSITION_STATES_MAX = 16
const END_POSITION_MODEL = 14
const ALIGN_BITS = 4

/** @param most - bytes that the result may have. @throws FormatError */
export function decodeLzma(input: Uint8Array, most: number): Uint8Array {
  if (input.length < HEADER_BYTES + 5)
    throw new FormatError(FORMAT, 'header', 0, `${input.length} bytes`)
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  const properties = input[0] ?? 255
  if (properties >= 9 * 5 * 5) throw new FormatError(FORMAT, 'properties', 0, `${properties}`)
  const size = view.getUint32(5, true) + view.getUint32(9, true) * 2 ** 32
  if (size > most) throw new FormatError(FORMAT, 'size', 5, `${size}, at most ${most}`)
  const literalContext = properties % 9
  const rest = Math.floor(properties / 9)
  const literalPosition = rest % 5
  const positionBits = Math.floor(rest / 5)
  const coder = new RangeDecoder(input, HEADER_BYTES)
  return new Decoder(coder, { literalContext, literalPosition, positionBits }).decode(size)
}

/** Probabilities of a tree of bits. */
function tree(bits: number): Uint16Array {
  return new Uint16Array(1 << bits).fill(MODEL_TOTAL / 2)
}

class RangeDecoder {
  readonly #input: Uint8Array
  #at: number
  #range = 0xffff_ffff
  #code = 0

  constructor(input: Uint8Array, at: number) {
    this.#input = input
    this.#at = at + 1
    if (input[at] !== 0) throw new FormatError(FORMAT, 'first byte', at, 'is not zero')
    for (let count = 0; count < 4; count++) this.#code = ((this.#code << 8) | this.#byte()) >>> 0
  }

  bit(model: Uint16Array, index: number): 0 | 1 {
    const probability = model[index] ?? 0
    const bound = (this.#range >>> MODEL_BITS) * probability
    if (this.#code < bound) {
      model[index] = probability + ((MODEL_TOTAL - probability) >> MOVE_BITS)
      this.#range = bound
      this.#normalise()
      return 0
    }
    model[index] = probability - (probability >> MOVE_BITS)
    this.#code -= bound
    this.#range -= bound
    this.#normalise()
    return 1
  }

  direct(bits: number): number {
    let value = 0
    for (let count = 0; count < bits; count++) {
      this.#range >>>= 1
      const isSet = this.#code >= this.#range
      if (isSet) this.#code -= this.#range
      value = value * 2 + (isSet ? 1 : 0)
      this.#normalise()
    }
    return value
  }

  tree(model: Uint16Array, bits: number, start = 0): number {
    let node = 1
    for (let count = 0; count < bits; count++) node = (node << 1) | this.bit(model, start + node)
    return node - (1 << bits)
  }

  reverseTree(model: Uint16Array, bits: number, start = 0): number {
    let node = 1
    let value = 0
    for (let count = 0; count < bits; count++) {
      const bit = this.bit(model, start + node)
      node = (node << 1) | bit
      value |= bit << count
    }
    return value
  }

  #normalise(): void {
    if (this.#range >= TOP) return
    this.#range = (this.#range << 8) >>> 0
    this.#code = ((this.#code << 8) | this.#byte()) >>> 0
  }

  #byte(): number {
    const byte = this.#input[this.#at]
    if (byte === undefined) throw new FormatError(FORMAT, 'data', this.#at, 'is cut short')
    this.#at += 1
    return byte
  }
}

class LengthDecoder {
  readonly #choice = tree(1)
  readonly #low = Array.from({ length: POSITION_STATES_MAX }, () => tree(3))
  readonly #middle = Array.from({ length: POSITION_STATES_MAX }, () => tree(3))
  readonly #high = tree(8)

  decode(coder: RangeDecoder, positionState: number): number {
    if (coder.bit(this.#choice, 0) === 0)
      return coder.tree(this.#low[positionState] as Uint16Array, 3)
    if (coder.bit(this.#choice, 1) === 0)
      return 8 + coder.tree(this.#middle[positionState] as Uint16Array, 3)
    return 16 + coder.tree(this.#high, 8)
  }
}

interface Properties {
  readonly literalContext: number
  readonly literalPosition: number
  readonly positionBits: number
}

class Decoder {
  readonly #coder: RangeDecoder
  readonly #properties: Properties
  readonly #literals: Uint16Array
  readonly #isMatch = tree(8)
  readonly #isRepeat = tree(4)
  readonly #isRepeat0 = tree(4)
  readonly #isRepeat1 = tree(4)
  readonly #isRepeat2 = tree(4)
  readonly #isRepeat0Long = tree(8)
  readonly #slots = Array.from({ length: LENGTH_STATES }, () => tree(6))
  readonly #positions = tree(7)
  readonly #align = tree(ALIGN_BITS)
  readonly #length = new LengthDecoder()
  readonly #repeatLength = new LengthDecoder()

  constructor(coder: RangeDecoder, properties: Properties) {
    this.#coder = coder
    this.#properties = properties
    const { literalContext, literalPosition } = properties
    this.#literals = new Uint16Array(0x300 << (literalContext + literalPosition)).fill(
      MODEL_TOTAL / 2,
    )
  }

  decode(size: number): Uint8Array {
    const coder = this.#coder
    const output = new Uint8Array(size)
    const positionMask = (1 << this.#properties.positionBits) - 1
    let state = 0
    let [distance0, distance1, distance2, distance3] = [0, 0, 0, 0]
    for (let at = 0; at < size;) {
      const positionState = at & positionMask
      if (coder.bit(this.#isMatch, state * 16 + positionState) === 0) {
        output[at] = this.#literal(output, at, state, distance0)
        state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6
        at += 1
        continue
      }
      let length: number
      if (coder.bit(this.#isRepeat, state) === 0) {
        ;[distance3, distance2, distance1] = [distance2, distance1, distance0]
        length = LENGTH_MIN + this.#length.decode(coder, positionState)
        distance0 = this.#distance(length)
        // The mark of an end, where no size was given; here one was.
        if (distance0 === 0xffff_ffff) throw new FormatError(FORMAT, 'data', at, 'ends too soon')
        state = state < 7 ? 7 : 10
      } else {
        if (coder.bit(this.#isRepeat0, state) === 0) {
          if (coder.bit(this.#isRepeat0Long, state * 16 + positionState) === 0) {
            copy(output, at, distance0, 1)
            state = state < 7 ? 9 : 11
            at += 1
            continue
          }
        } else if (coder.bit(this.#isRepeat1, state) === 0)
          [distance0, distance1] = [distance1, distance0]
        else if (coder.bit(this.#isRepeat2, state) === 0)
          [distance0, distance1, distance2] = [distance2, distance0, distance1]
        else
          [distance0, distance1, distance2, distance3] = [
            distance3,
            distance0,
            distance1,
            distance2,
          ]
        length = LENGTH_MIN + this.#repeatLength.decode(coder, positionState)
        state = state < 7 ? 8 : 11
      }
      copy(output, at, distance0, Math.min(length, size - at))
      at += length
      if (at > size) throw new FormatError(FORMAT, 'data', size, 'is longer than its size')
    }
    return output
  }

  #literal(output: Uint8Array, at: number, state: number, distance: number): number {
    const { literalContext, literalPosition } = this.#properties
    const before = at === 0 ? 0 : (output[at - 1] ?? 0)
    const position = at & ((1 << literalPosition) - 1)
    const context = (position << literalContext) + (before >> (8 - literalContext))
    const start = 0x300 * context
    let symbol = 1
    if (state >= 7) {
      let matched = output[at - distance - 1] ?? 0
      while (symbol < 0x100) {
        const matchBit = (matched >> 7) & 1
        matched <<= 1
        const bit = this.#coder.bit(this.#literals, start + ((1 + matchBit) << 8) + symbol)
        symbol = (symbol << 1) | bit
        if (matchBit !== bit) break
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#coder.bit(this.#literals, start + symbol)
    return symbol & 0xff
  }

  #distance(length: number): number {
    const coder = this.#coder
    const lengthState = Math.min(length - LENGTH_MIN, LENGTH_STATES - 1)
    const slot = coder.tree(this.#slots[lengthState] as Uint16Array, 6)
    if (slot < 4) return slot
    const bits = (slot >> 1) - 1
    const base = (2 | (slot & 1)) * 2 ** bits
    if (slot < END_POSITION_MODEL)
      return base + coder.reverseTree(this.#positions, bits, base - slot)
    const high = coder.direct(bits - ALIGN_BITS)
    return base + high * 2 ** ALIGN_BITS + coder.reverseTree(this.#align, ALIGN_BITS)
  }
}

/** Byte by byte, for the source may overlap what is written. */
function copy(output: Uint8Array, at: number, distance: number, length: number): void {
  if (distance >= at) throw new FormatError(FORMAT, 'distance', at, 'is before the beginning')
  for (let index = at; index < at + length; index++)
    output[index] = output[index - distance - 1] ?? 0
}
