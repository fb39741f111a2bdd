/**
 * Pulls one image into a root file system: manifest by digest, signature policy, configuration, keys, layers, commit. Every byte from the
 * source is hostile. Nothing appears at the target before all checks have passed, and nothing stays behind when one fails.
 */
import { mkdir, rename, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { documentByDigest, smallBlob, type ImageSource } from './image-source.ts'
import { unwrapLayerKey } from './key-unwrap.ts'
import { fetchInOrder } from './layer-queue.ts'
import { readLayer, type LayerPlan } from './layer.ts'
import {
  checkPlatform,
  hostPlatform,
  parseImageConfig,
  parseManifest,
  type Descriptor,
  type ImageConfig,
  type Manifest,
  type Platform,
} from './manifest.ts'
import { layerFormat } from './media-types.ts'
import { unpackError } from './rootfs-writer.ts'
import { UNPACK_LIMITS, type UnpackLimits, type UnpackUsage } from './unpack-limits.ts'
import { UNPACK_WORKER, UnpackHere, UnpackThread, type Unpacking } from './unpack-thread.ts'
import { enforceSignaturePolicy } from './verify-signatures.ts'
import type { UnwrapKey } from './ocicrypt.ts'
import type { ImageReference } from './reference.ts'
import type { SignaturePolicy } from './signature-policy.ts'

export interface PullOptions {
  readonly source: ImageSource
  /** The name under which the owner wants the image; signatures are held against it. */
  readonly reference: ImageReference
  /** Digest of the platform's manifest, not of an index. */
  readonly digest: string
  /** Absent: the digest alone decides. */
  readonly policy?: SignaturePolicy
  /** Reads keys that the policy names by path. Absent: such a policy is refused. */
  readonly readKey?: (path: string, signal?: AbortSignal) => Promise<Uint8Array>
  /** Absent: encrypted layers are refused. */
  readonly unwrapKey?: UnwrapKey
  /** Becomes the root file system; must not exist. `<directory>.partial` is the staging place, on the same file system. */
  readonly directory: string
  /** Settles when files can be written there; waited for before the first layer is fetched. Absent: at once. */
  readonly place?: Promise<unknown>
  /** Absent: linux on this processor. */
  readonly platform?: Platform
  /** Layers that are fetched at once; one is unpacked as it comes, the others wait on disk. Absent: 3. */
  readonly concurrency?: number
  readonly limits?: Partial<UnpackLimits>
  /** Absent: files belong to the users that the layers name when we are root, else to us. */
  readonly preserveOwnership?: boolean
  /** Path of setfattr, which sets extended attributes. Absent: none is set, so file capabilities are lost. */
  readonly xattrProgram?: string
  /** Layers of together so many bytes, compressed, are unpacked in a thread of its own. Absent: 8 MiB, never on a single processor. */
  readonly threadFromBytes?: number
  /** That thread's program. Absent: the one beside this module; a bundle has it elsewhere. */
  readonly unpackWorker?: URL
  readonly onProgress?: (progress: PullProgress) => void
  readonly signal?: AbortSignal
}

export interface PullProgress {
  readonly step: 'manifest' | 'signatures' | 'config' | 'keys' | 'layers' | 'done'
  /** Bytes of layers that have come, of `totalBytes`. */
  readonly bytes: number
  readonly totalBytes: number
}

export interface PulledImage {
  readonly digest: string
  readonly manifest: Manifest
  readonly config: ImageConfig
  readonly directory: string
  readonly entries: number
  /** Uncompressed tar bytes. */
  readonly bytes: number
  /** Extended attributes that layers asked for and that are not set. */
  readonly skippedXattrs: number
  /** Keys that vouched for it: SHA-256 of the SPKI, hex. Empty when the policy asked for none. */
  readonly signedBy: readonly string[]
  readonly encryptedLayers: number
}

const DEFAULT_CONCURRENCY = 3
/** Asked for at each pull: the guest's agent is loaded on the machine that builds its image. */
const defaultThreadBytes = () => (availableParallelism() > 1 ? 8 << 20 : Infinity)

export async function pullImage(options: PullOptions): Promise<PulledImage> {
  const { source, reference, digest, policy, readKey, signal } = options
  const progress = new ProgressReport(options.onProgress)

  progress.step('manifest')
  const manifest = parseManifest(await documentByDigest(source, digest, signal))
  progress.total(manifest.layers)
  // A thread takes as long to start as signatures, configuration and keys take to come.
  await using unpacking = startUnpacking(manifest.layers, options)

  progress.step('signatures')
  const signedBy =
    policy === undefined
      ? []
      : await enforceSignaturePolicy({
          source,
          reference,
          manifestDigest: digest,
          policy,
          readKey,
          signal,
        })

  progress.step('config')
  const config = parseImageConfig(await smallBlob(source, manifest.config, signal))
  checkPlatform(config, options.platform ?? hostPlatform())

  progress.step('keys')
  const plans = await planLayers(manifest, config, options.unwrapKey, signal)

  await options.place
  progress.step('layers')
  const usage = await unpackLayers(plans, unpacking, options, progress)

  progress.step('done')
  const encryptedLayers = plans.filter(({ key }) => key !== undefined).length
  return {
    digest,
    manifest,
    config,
    directory: options.directory,
    signedBy,
    encryptedLayers,
    ...usage,
  }
}

/** What each layer is and must become, its key included: all refusals that need no layer come before the first is fetched. */
async function planLayers(
  manifest: Manifest,
  config: ImageConfig,
  unwrapKey: UnwrapKey | undefined,
  signal: AbortSignal | undefined,
): Promise<LayerPlan[]> {
  const diffIds = config.rootfs.diff_ids
  if (diffIds.length !== manifest.layers.length)
    throw new CloisterError('image.manifest-malformed', {
      where: 'rootfs.diff_ids',
      expected: `${manifest.layers.length} diff_ids`,
      received: String(diffIds.length),
    })
  const plans: LayerPlan[] = []
  for (const [index, descriptor] of manifest.layers.entries()) {
    const format = layerFormat(descriptor.mediaType)
    if (format === undefined)
      throw new CloisterError('image.media-type-unsupported', {
        where: descriptor.digest,
        received: descriptor.mediaType,
      })
    const plan = { descriptor, format, diffId: diffIds[index]! }
    plans.push(
      format.encrypted
        ? { ...plan, key: await unwrapLayerKey(descriptor, unwrapKey, signal) }
        : plan,
    )
  }
  return plans
}

/** Unpacks into the staging directory and renames it into place. */
async function unpackLayers(
  plans: readonly LayerPlan[],
  unpacking: Unpacking,
  options: PullOptions,
  progress: ProgressReport,
): Promise<UnpackUsage> {
  const directory = resolve(options.directory)
  const staging = `${directory}.partial`
  // Exclusive: a second pull to the same place, or leftovers, must not mix.
  await mkdir(staging, { mode: 0o700 })
  try {
    const rootfs = `${staging}/rootfs`
    await mkdir(rootfs, { mode: 0o755 })
    const place = { ...options, rootfs, spool: staging }
    const usage = await applyLayers(plans, unpacking, place, progress)
    await rename(rootfs, directory)
    return usage
  } catch (error) {
    throw unpackError(error)
  } finally {
    // A thread writes there.
    await unpacking[Symbol.asyncDispose]()
    await rm(staging, { recursive: true, force: true })
  }
}

async function applyLayers(
  plans: readonly LayerPlan[],
  unpacking: Unpacking,
  options: PullOptions & { rootfs: string; spool: string },
  progress: ProgressReport,
): Promise<UnpackUsage> {
  const { source, rootfs, spool, signal } = options
  const limits = { ...UNPACK_LIMITS, ...options.limits }
  const usage: UnpackUsage = { bytes: 0, entries: 0, skippedXattrs: 0 }
  const preserveOwnership = options.preserveOwnership ?? process.getuid?.() === 0
  const blobs = fetchInOrder(
    source,
    plans.map(({ descriptor }) => descriptor),
    { concurrency: options.concurrency ?? DEFAULT_CONCURRENCY, spool, signal },
  )
  const onBytes = (bytes: number) => progress.add(bytes)
  let index = 0
  for await (const blob of blobs) {
    const plan = plans[index]!
    const target = { rootfs, hasLowerLayers: index > 0, preserveOwnership, limits, usage }
    unpacking.begin({ ...target, xattrProgram: options.xattrProgram })
    await readLayer(plan, blob, unpacking, { limits, usage, signal, onBytes })
    index++
  }
  return usage
}

function startUnpacking(
  layers: readonly Descriptor[],
  { threadFromBytes = defaultThreadBytes(), unpackWorker = UNPACK_WORKER }: PullOptions,
): Unpacking {
  const bytes = layers.reduce((sum, { size }) => sum + size, 0)
  return bytes < threadFromBytes ? new UnpackHere() : new UnpackThread(unpackWorker)
}

class ProgressReport {
  readonly #report: ((progress: PullProgress) => void) | undefined
  #step: PullProgress['step'] = 'manifest'
  #bytes = 0
  #totalBytes = 0

  constructor(report: ((progress: PullProgress) => void) | undefined) {
    this.#report = report
  }

  step(step: PullProgress['step']): void {
    this.#step = step
    this.#send()
  }

  total(layers: readonly Descriptor[]): void {
    this.#totalBytes = layers.reduce((sum, { size }) => sum + size, 0)
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#send()
  }

  #send(): void {
    this.#report?.({ step: this.#step, bytes: this.#bytes, totalBytes: this.#totalBytes })
  }
}
