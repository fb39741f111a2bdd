/**
 * Changed samples: bits, bytes, numbers that may be lengths, cuts, insertions, removals, pieces of other samples, words of the format. A change
 * is made in a working copy of the sample and undone before the next one, so that an input costs what was changed and not what it is long.
 */
import { Buffer } from 'node:buffer'
import { toUtf8 } from '../src/bytes/text.ts'
import type { Random } from './random.ts'

const INTERESTING = Uint8Array.of(0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xff)
const ALPHANUMERIC = toUtf8('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
/** Heads of DER and CBOR items, long and without end, and the ends of some. */
const BINARY_WORDS = [
  [0x30, 0x80],
  [0x30, 0x82, 0xff, 0xff],
  [0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
  [0x02, 0x01, 0x00],
  [0x05, 0x00],
  [0xa0, 0x03, 0x02, 0x01],
  [0x5f],
  [0x9f],
  [0xbf],
  [0xff],
  [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x9a, 0xff, 0xff, 0xff, 0xff],
  [0xbb, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01],
  [0xd9, 0x01, 0x8f],
  [0xf9, 0x7e, 0x00],
].map((bytes) => Uint8Array.from(bytes))
/** Of JSON, XML, PEM and base64. */
const TEXT_WORDS = [
  '" { } [ ] , : \\ \\u0000 "" [] {} "": "a":1, null true -1 0 1e999 0.5 256 4294967296 18446744073709551616 = .',
  '"__proto__":{"a":1}, "constructor": [[[[[[[[ {"":{"":{"": < > </ /> <!-- ]]> <![CDATA[ &#0; &amp; <?xml?> \u00e9 \u{1f512}',
]
  .flatMap((words) => words.split(' '))
  .concat([' ', '\n', '\t', ' a=""', '-----BEGIN X-----', '-----END X-----'])
  .map(toUtf8)
const MOST_CHANGES = 4
/** Bytes before and behind an input, which no parser may see. */
const MARGIN = 16
const AROUND = 0xa5

/** A sample with its working copy. */
interface Workpiece {
  readonly sample: Uint8Array
  /** The copy, with room to grow. */
  readonly room: Uint8Array
  readonly view: DataView
  readonly isText: boolean
}

export class MutatedInputs {
  readonly #workpieces: readonly Workpiece[]
  #piece: Workpiece
  #length = 0
  /** What differs from the sample, in bytes from its start. */
  #from = 0
  #to = 0

  /** @param corpus - at least one sample */
  constructor(corpus: readonly Uint8Array[]) {
    this.#workpieces = corpus.map(newWorkpiece)
    const [first] = this.#workpieces
    if (first === undefined) throw new RangeError('a corpus has at least one sample')
    this.#piece = first
  }

  /** A changed sample, never more than twice as long and 64 bytes. It is overwritten by the next call. */
  next(random: Random): Uint8Array {
    this.undo()
    this.#piece = this.#pick(random)
    this.#length = this.#piece.sample.length
    for (let changes = 1 + random.below(MOST_CHANGES); changes > 0; changes--) this.#change(random)
    return this.#piece.room.subarray(0, this.#length)
  }

  /** @returns whether the working copy is the sample again: whoever got it as an input has not written into it */
  isUnharmed(): boolean {
    this.undo()
    const { sample, room } = this.#piece
    return Buffer.compare(sample, room.subarray(0, sample.length)) === 0
  }

  undo(): void {
    const { sample, room } = this.#piece
    if (this.#from < this.#to) room.set(sample.subarray(this.#from, this.#to), this.#from)
    this.#from = Number.MAX_SAFE_INTEGER
    this.#to = 0
  }

  /** The shorter of two, but for each eighth time: long samples cost more than they teach. */
  #pick(random: Random): Workpiece {
    const { length } = this.#workpieces
    const one = this.#workpieces[random.below(length)] as Workpiece
    const other = this.#workpieces[random.below(length)] as Workpiece
    const isShorter = one.sample.length <= other.sample.length
    return isShorter || random.below(8) === 0 ? one : other
  }

  #change(random: Random): void {
    const { room } = this.#piece
    const at = random.below(this.#length)
    const kind = random.below(16)
    if (this.#length === 0) return
    switch (kind) {
      case 0:
      case 1:
        room[at] = (room[at] as number) ^ (1 << random.below(8))
        return this.#changed(at, at + 1)
      case 2:
        room[at] = INTERESTING[random.below(INTERESTING.length)] as number
        return this.#changed(at, at + 1)
      case 3:
        room[at] = (room[at] as number) + (random.below(2) === 0 ? 1 : -1)
        return this.#changed(at, at + 1)
      case 4: {
        const end = Math.min(at + 1 + random.below(8), this.#length)
        room.fill(INTERESTING[random.below(INTERESTING.length)] as number, at, end)
        return this.#changed(at, end)
      }
      case 5:
        return this.#cut(random, at)
      case 6: {
        const from = random.below(this.#length)
        const size = Math.min(random.below(64), this.#length - Math.max(at, from))
        room.copyWithin(at, from, from + size)
        return this.#changed(at, at + size)
      }
      case 7: {
        const end = Math.min(at + random.below(32), this.#length)
        return this.#insert(at, room.slice(at, end))
      }
      case 8:
        return this.#remove(at, Math.min(1 + random.below(32), this.#length - at))
      case 9:
      case 10:
      case 11:
        return this.#piece.isText ? this.#letter(random, at) : this.#number(random, at)
      case 12:
        return this.#splice(random, at)
      case 13:
        return this.#exchange(random, at)
      default: {
        const words = this.#piece.isText ? TEXT_WORDS : BINARY_WORDS
        const word = words[random.below(words.length)] as Uint8Array
        return random.below(2) === 0 ? this.#insert(at, word) : this.#overwrite(at, word)
      }
    }
  }

  /** Another digit of hexadecimal, decimal or base64, which keeps such text well-formed. */
  #letter(random: Random, at: number): void {
    this.#piece.room[at] = ALPHANUMERIC[random.below(ALPHANUMERIC.length)] as number
    this.#changed(at, at + 1)
  }

  /** A number of 1, 2 or 4 bytes in either order, set to what a length, a count or an offset must not be, or to what is left. */
  #number(random: Random, at: number): void {
    const width = 1 << random.below(3)
    if (at + width > this.#length) return
    const { view } = this.#piece
    const isLittle = random.below(2) === 0
    const left = this.#length - at - width
    const values = [0, 1, 0x7fff_ffff, 0xffff_ffff, left, left + 1, left - 1, this.#length] as const
    const value = values[random.below(values.length)] as number
    if (width === 1) view.setUint8(at, value)
    else if (width === 2) view.setUint16(at, value, isLittle)
    else view.setUint32(at, value, isLittle)
    this.#changed(at, at + width)
  }

  /** Most cuts near the end: what is cut early is refused at the same few places. */
  #cut(random: Random, at: number): void {
    this.#length = random.below(4) === 0 ? at : this.#length - random.below(Math.min(64, at + 1))
  }

  /** From here on, another sample, or a piece of it. */
  #splice(random: Random, at: number): void {
    const { sample } = this.#workpieces[random.below(this.#workpieces.length)] as Workpiece
    if (sample.length === 0) return
    const from =
      random.below(2) === 0 ? Math.min(at, sample.length - 1) : random.below(sample.length)
    const size = random.below(2) === 0 ? sample.length - from : 1 + random.below(64)
    this.#overwrite(at, sample.subarray(from, from + size))
  }

  /** Two pieces of the same length change places. */
  #exchange(random: Random, at: number): void {
    const { room } = this.#piece
    const other = random.below(this.#length)
    const [low, high] = at < other ? [at, other] : [other, at]
    const size = Math.min(1 + random.below(32), high - low, this.#length - high)
    const kept = room.slice(low, low + size)
    room.copyWithin(low, high, high + size)
    room.set(kept, high)
    this.#changed(low, high + size)
  }

  /** What stands behind the input is taken over as it is. */
  #overwrite(at: number, bytes: Uint8Array): void {
    const { room } = this.#piece
    const size = Math.min(bytes.length, room.length - at)
    room.set(size === bytes.length ? bytes : bytes.subarray(0, size), at)
    this.#length = Math.max(this.#length, at + size)
    this.#changed(at, at + size)
  }

  #insert(at: number, bytes: Uint8Array): void {
    const { room } = this.#piece
    const size = Math.min(bytes.length, room.length - this.#length)
    room.copyWithin(at + size, at, this.#length)
    room.set(bytes.subarray(0, size), at)
    this.#length += size
    this.#changed(at, this.#length)
  }

  #remove(at: number, size: number): void {
    const { room } = this.#piece
    room.copyWithin(at, at + size, this.#length)
    this.#changed(at, this.#length)
    this.#length -= size
  }

  #changed(from: number, to: number): void {
    if (from < this.#from) this.#from = from
    if (to > this.#to) this.#to = to
  }
}

/** Not at the start of its buffer, and with bytes behind it: a parser that forgets where its input begins or ends reads those. */
function newWorkpiece(sample: Uint8Array): Workpiece {
  const size = sample.length * 2 + 64
  const buffer = new Uint8Array(size + 2 * MARGIN).fill(AROUND)
  const room = buffer.subarray(MARGIN, MARGIN + size)
  room.set(sample)
  const view = new DataView(room.buffer, room.byteOffset, room.byteLength)
  const [first = 0] = sample
  return { sample, room, view, isText: first >= 0x20 && first < 0x7f && isAscii(sample) }
}

function isAscii(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 64).every((byte) => byte < 0x7f && (byte >= 0x20 || byte === 0x0a))
}
