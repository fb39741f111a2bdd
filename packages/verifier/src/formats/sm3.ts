/** SM3 (GB/T 32905-2016): the hash of event logs on Hygon machines. Never used for a signature. */
const BLOCK = 64
const INITIAL = [
  0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
]

/** 32 bytes. */
export function sm3(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const state = Uint32Array.from(INITIAL)
  const whole = data.length - (data.length % BLOCK)
  for (let at = 0; at < whole; at += BLOCK) compress(state, data.subarray(at, at + BLOCK))
  const tail = lastBlocks(data.subarray(whole), data.length)
  for (let at = 0; at < tail.length; at += BLOCK) compress(state, tail.subarray(at, at + BLOCK))
  const digest = new Uint8Array(32)
  const view = new DataView(digest.buffer)
  for (const [index, word] of state.entries()) view.setUint32(index * 4, word)
  return digest
}

/** The rest, a one bit, zeros, and the length in bits. */
function lastBlocks(rest: Uint8Array, length: number): Uint8Array {
  const padded = new Uint8Array(rest.length + 9 > BLOCK ? 2 * BLOCK : BLOCK)
  padded.set(rest)
  padded[rest.length] = 0x80
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(length) * 8n)
  return padded
}

function compress(state: Uint32Array, block: Uint8Array): void {
  const words = expand(block)
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state
  for (let round = 0; round < 64; round++) {
    const early = round < 16
    const constant = rotate(early ? 0x79cc4519 : 0x7a879d8a, round % 32)
    const ss1 = rotate((rotate(a, 12) + e + constant) | 0, 7)
    const ss2 = ss1 ^ rotate(a, 12)
    const word = words[round] as number
    const ff = early ? a ^ b ^ c : (a & b) | (a & c) | (b & c)
    const gg = early ? e ^ f ^ g : (e & f) | (~e & g)
    const tt1 = (ff + d + ss2 + (word ^ (words[round + 4] as number))) | 0
    const tt2 = (gg + h + ss1 + word) | 0
    d = c
    c = rotate(b, 9)
    b = a
    a = tt1
    h = g
    g = rotate(f, 19)
    f = e
    e = tt2 ^ rotate(tt2, 9) ^ rotate(tt2, 17)
  }
  for (const [index, word] of [a, b, c, d, e, f, g, h].entries())
    state[index] = (state[index] as number) ^ word
}

function expand(block: Uint8Array): Int32Array {
  const words = new Int32Array(68)
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  for (let index = 0; index < 16; index++) words[index] = view.getInt32(index * 4)
  const at = (index: number) => words[index] as number
  for (let index = 16; index < 68; index++) {
    const mixed = at(index - 16) ^ at(index - 9) ^ rotate(at(index - 3), 15)
    const permuted = mixed ^ rotate(mixed, 15) ^ rotate(mixed, 23)
    words[index] = permuted ^ rotate(at(index - 13), 7) ^ at(index - 6)
  }
  return words
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> ((32 - bits) % 32))
}
