/** Every single-bit flip of what is signed in every recorded sample that verifies: none may be accepted. */
import { WITH_VECTORS } from '../src/testing/vectors.ts'
import { sweptSamples } from './sweep-samples.ts'
import type { SweptSample } from './sweep-samples.ts'

/** @param say - takes one line for each sample. @throws Error naming the sample and the bit that was accepted */
export async function sweepSamples(say: (line: string) => void): Promise<void> {
  if (WITH_VECTORS.skip !== false) {
    say(`sweep: ${WITH_VECTORS.skip}`)
    return
  }
  for (const sample of await sweptSamples()) {
    await sweepSample(sample)
    say(`${sample.name}: each of ${(sample.end - sample.start) * 8} bits counts`)
  }
}

/** @throws Error naming the bit that was accepted */
export async function sweepSample(sample: SweptSample): Promise<void> {
  const { name, bytes, start, end, status } = sample
  const whole = await status(bytes)
  if (whole !== 'affirming' && whole !== 'warning') throw new Error(`${name} itself is ${whole}`)
  for (let bit = start * 8; bit < end * 8; bit++) {
    const offset = bit >> 3
    bytes[offset] = (bytes[offset] as number) ^ (1 << (bit & 7))
    const changed = await status(bytes)
    if (changed !== 'contraindicated' && changed !== 'none')
      throw new Error(`${name} with bit ${bit} changed is ${changed}`)
    bytes[offset] = bytes[offset] ^ (1 << (bit & 7))
  }
}
