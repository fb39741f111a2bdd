/**
 * One layer from its descriptor's bytes to files: digest and size, decryption, decompression, diff_id, unpacking, in one pass and without
 * ever holding the layer. What is written before the last check has passed lies in a staging directory that is thrown away on failure.
 */
import { CloisterError } from '@cloister/protocol/error'
import { decompress } from './decompress.ts'
import { DigestCheck } from './digest.ts'
import { decryptLayer } from './layer-cipher.ts'
import { TarReader, type TarSink } from './tar-reader.ts'
import { enforceLimit, type UnpackLimits, type UnpackUsage } from './unpack-limits.ts'
import type { Descriptor } from './manifest.ts'
import type { LayerFormat } from './media-types.ts'
import type { LayerKey } from './ocicrypt.ts'

export interface LayerPlan {
  readonly descriptor: Descriptor
  readonly format: LayerFormat
  /** Digest of the uncompressed tar. */
  readonly diffId: string
  /** Present exactly when the layer is encrypted. */
  readonly key?: LayerKey
}

export interface LayerStreamOptions {
  readonly limits: UnpackLimits
  readonly usage: UnpackUsage
  readonly signal?: AbortSignal | undefined
  /** Called with each chunk's length as it arrives. */
  readonly onBytes?: (bytes: number) => void
}

/** Returns only when every check has passed; the caller must throw away what the sink made otherwise. */
export async function readLayer(
  plan: LayerPlan,
  blob: AsyncIterable<Uint8Array>,
  sink: TarSink,
  options: LayerStreamOptions,
): Promise<void> {
  const intake = new Intake(plan.descriptor, options)
  const compressed =
    plan.key === undefined ? intake.read(blob) : decryptLayer(intake.read(blob), plan.key)
  let isDrained = false
  const input = drained(compressed, () => (isDrained = true))
  const diffId = new DigestCheck(plan.diffId)
  const tar = new TarReader(sink)
  for await (const chunk of decompress(input, plan.format.compression)) {
    intake.countUncompressed(chunk.length)
    diffId.update(chunk)
    tar.write(chunk)
  }
  if (!isDrained)
    throw new CloisterError('image.layer-malformed', {
      where: plan.descriptor.digest,
      why: 'bytes follow the end of its compressed data',
    })
  diffId.verify(plan.descriptor.digest, 'image.diff-id-mismatch')
  tar.end()
}

/** Counts and hashes the bytes as they come, and holds them against size, digest and limits. */
class Intake {
  readonly #descriptor: Descriptor
  readonly #options: LayerStreamOptions
  #compressed = 0
  #uncompressed = 0

  constructor(descriptor: Descriptor, options: LayerStreamOptions) {
    this.#descriptor = descriptor
    this.#options = options
  }

  async *read(blob: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { digest, size } = this.#descriptor
    const check = new DigestCheck(digest)
    for await (const chunk of blob) {
      this.#options.signal?.throwIfAborted()
      this.#compressed += chunk.length
      if (this.#compressed > size) break
      check.update(chunk)
      this.#options.onBytes?.(chunk.length)
      yield chunk
    }
    if (this.#compressed !== size)
      throw new CloisterError('image.size-mismatch', {
        where: digest,
        expected: `${size} bytes`,
        received: this.#compressed > size ? 'more' : `${this.#compressed} bytes`,
      })
    check.verify(digest)
  }

  countUncompressed(bytes: number): void {
    const { limits, usage } = this.#options
    usage.bytes += bytes
    this.#uncompressed += bytes
    enforceLimit('uncompressed bytes', usage.bytes, limits.bytes)
    if (this.#uncompressed > limits.ratioFreeBytes)
      enforceLimit(
        'compression ratio',
        Math.floor(this.#uncompressed / Math.max(this.#compressed, 1)),
        limits.ratio,
      )
  }
}

/** Passes its input on and tells when it was read to its end, where the checks are: a decompressor may stop at trailing bytes. */
async function* drained(
  input: AsyncIterable<Uint8Array>,
  onEnd: () => void,
): AsyncGenerator<Uint8Array> {
  yield* input
  onEnd()
}
