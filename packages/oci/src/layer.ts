/**
 * One layer from its descriptor's bytes to files: digest and size, decryption, decompression, diff_id, unpacking, in one pass and without
 * ever holding the layer. What is written before the last check has passed lies in a staging directory that is thrown away on failure.
 */
import { CloisterError } from '@cloister/protocol/error'
import { decompress } from './decompress.ts'
import { DigestCheck } from './digest.ts'
import { decryptLayer } from './layer-cipher.ts'
import { releaseChunk } from './released-memory.ts'
import { enforceLimit, type UnpackLimits, type UnpackUsage } from './unpack-limits.ts'
import type { Descriptor } from './manifest.ts'
import type { LayerFormat } from './media-types.ts'
import type { LayerKey } from './ocicrypt.ts'
import type { Unpacking } from './unpack-thread.ts'

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

/** Returns only when every check has passed; the caller must throw away what was unpacked otherwise. */
export async function readLayer(
  plan: LayerPlan,
  blob: AsyncIterable<Uint8Array>,
  unpacking: Unpacking,
  options: LayerStreamOptions,
): Promise<void> {
  const intake = new Intake(plan.descriptor, options)
  const arrived = intake.read(blob)
  // Here, not where it is unpacked: that may be a thread that cannot have `node:crypto` (`unpack-worker`).
  const diffId = new DigestCheck(plan.diffId)
  await using compressed = new CheckedInput(
    plan.key === undefined ? arrived : decryptLayer(arrived, plan.key),
  )
  try {
    for await (const chunk of decompress(compressed.read(), plan.format.compression)) {
      intake.countUncompressed(chunk.length)
      const written = unpacking.write(chunk)
      diffId.update(chunk)
      await written
    }
    await unpacking.end()
    diffId.verify(plan.descriptor.digest, 'image.diff-id-mismatch')
    await unpacking.setXattrs()
  } catch (error) {
    // Changed bytes show first as broken compression; what was changed is told by the checks at the end.
    if (isBrokenContent(error)) await compressed.drain()
    throw error
  }
}

function isBrokenContent(error: unknown): boolean {
  return (
    error instanceof CloisterError &&
    ['image.layer-malformed', 'image.entry-refused'].includes(error.code)
  )
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
      releaseChunk(chunk)
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

/** Input whose checks come at its end. A decompressor stops before where its data is broken; then the rest can still be read for the sake of the checks. */
class CheckedInput implements AsyncDisposable {
  readonly #chunks: AsyncGenerator<Uint8Array>
  #failure: { readonly error: unknown } | undefined

  constructor(chunks: AsyncGenerator<Uint8Array>) {
    this.#chunks = chunks
  }

  /** Leaving this loop early does not end the input. */
  async *read(): AsyncGenerator<Uint8Array> {
    try {
      for (
        let step = await this.#chunks.next();
        step.done !== true;
        step = await this.#chunks.next()
      )
        yield step.value
    } catch (error) {
      this.#failure = { error }
      throw error
    }
  }

  /** Reads what is left; throws what the checks at the end say, if they fail. */
  async drain(): Promise<void> {
    while ((await this.#chunks.next()).done !== true);
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return(undefined)
  }
}
