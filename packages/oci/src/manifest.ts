/**
 * Image manifest, index and configuration (OCI image-spec 1.1, Docker v2 schema 2): bytes to values, no trust decisions.
 * Unknown members are permitted, as the specification asks; the ones that are used have bounds.
 */
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { isDigest } from './digest.ts'
import { INDEX_TYPES, MANIFEST_TYPES } from './media-types.ts'

export const MANIFEST_LIMITS = {
  /** A manifest or index, bytes: the least that registries must accept, and the most that most do. */
  manifestBytes: 4 << 20,
  configBytes: 4 << 20,
  /** Overlay file systems and Docker stop at 127. */
  layers: 128,
  indexEntries: 1024,
  /** One blob, bytes. */
  blobBytes: 64 * 2 ** 30,
} as const

const ShortText = z.string().max(4096)
const AnnotationsSchema = z.record(z.string().max(1024), z.string().max(256 * 1024))
const DigestText = z.string().refine(isDigest, 'not a sha256 or sha512 digest')

const DescriptorSchema = z.object({
  mediaType: z.string().max(255),
  digest: DigestText,
  size: z.int().min(0).max(MANIFEST_LIMITS.blobBytes),
  annotations: AnnotationsSchema.nullish(),
})
export type Descriptor = z.infer<typeof DescriptorSchema>

const PlatformSchema = z.object({
  architecture: ShortText,
  os: ShortText,
  variant: ShortText.optional(),
})
export type Platform = z.infer<typeof PlatformSchema>

const ManifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: DescriptorSchema,
  layers: z.array(DescriptorSchema).max(MANIFEST_LIMITS.layers),
  annotations: AnnotationsSchema.nullish(),
  // A document that is both a manifest and an index means two things to two readers.
  manifests: z.undefined().optional(),
})
export type Manifest = z.infer<typeof ManifestSchema>

const IndexEntrySchema = DescriptorSchema.extend({ platform: PlatformSchema.nullish() })
export type IndexEntry = z.infer<typeof IndexEntrySchema>

const IndexSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(IndexEntrySchema).max(MANIFEST_LIMITS.indexEntries),
  annotations: AnnotationsSchema.nullish(),
  layers: z.undefined().optional(),
  config: z.undefined().optional(),
})
export type Index = z.infer<typeof IndexSchema>

const TextList = z.array(z.string().max(128 * 1024)).max(4096)

const ConfigSchema = z.object({
  architecture: ShortText,
  os: ShortText,
  variant: ShortText.optional(),
  created: ShortText.nullish(),
  config: z
    .object({
      User: ShortText.nullish(),
      Env: TextList.nullish(),
      Entrypoint: TextList.nullish(),
      Cmd: TextList.nullish(),
      WorkingDir: ShortText.nullish(),
      StopSignal: ShortText.nullish(),
      ExposedPorts: z.record(ShortText, z.unknown()).nullish(),
      Volumes: z.record(ShortText, z.unknown()).nullish(),
      Labels: z.record(ShortText, z.string()).nullish(),
    })
    .nullish(),
  rootfs: z.object({
    type: z.literal('layers'),
    diff_ids: z.array(DigestText).max(MANIFEST_LIMITS.layers),
  }),
})
export type ImageConfig = z.infer<typeof ConfigSchema>

export function parseManifest(bytes: Uint8Array): Manifest {
  const manifest = parse(ManifestSchema, bytes, 'manifest', MANIFEST_LIMITS.manifestBytes)
  checkOwnType(manifest.mediaType, MANIFEST_TYPES, 'manifest')
  return manifest
}

export function parseIndex(bytes: Uint8Array): Index {
  const index = parse(IndexSchema, bytes, 'index', MANIFEST_LIMITS.manifestBytes)
  checkOwnType(index.mediaType, INDEX_TYPES, 'index')
  return index
}

export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  return parse(ConfigSchema, bytes, 'image configuration', MANIFEST_LIMITS.configBytes)
}

/** Whether the document is an index, by its own members and not by what a registry says of it. */
export function isIndexDocument(bytes: Uint8Array): boolean {
  const document = parse(
    z.object({ manifests: z.unknown().optional() }),
    bytes,
    'manifest',
    MANIFEST_LIMITS.manifestBytes,
  )
  return document.manifests !== undefined
}

/** Node's name for the processor as OCI names it. */
export function hostPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }
  return { os: 'linux', architecture: names[process.arch] ?? process.arch }
}

/** For an image that no index told the platform of. Throws `image.platform-missing`. */
export function checkPlatform(config: ImageConfig, wanted: Platform): void {
  if (!matchesPlatform(config, wanted))
    throw new CloisterError('image.platform-missing', {
      expected: formatPlatform(wanted),
      received: formatPlatform(config),
    })
}

/** The first entry for the platform; one without a platform is never chosen. Throws `image.platform-missing`. */
export function selectPlatform(index: Index, platform: Platform): IndexEntry {
  const entry = index.manifests.find(
    (candidate) =>
      candidate.platform !== undefined &&
      candidate.platform !== null &&
      matchesPlatform(candidate.platform, platform),
  )
  if (entry === undefined)
    throw new CloisterError('image.platform-missing', {
      expected: formatPlatform(platform),
      received: index.manifests
        .map(({ platform: offered }) => (offered ? formatPlatform(offered) : 'unnamed'))
        .slice(0, 20)
        .join(', '),
    })
  return entry
}

export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  return (
    offered.os === wanted.os &&
    offered.architecture === wanted.architecture &&
    (wanted.variant === undefined || offered.variant === wanted.variant)
  )
}

function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant]
    .filter((part) => part !== undefined)
    .join('/')
    .slice(0, 100)
}

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string, limit: number): T {
  if (bytes.length > limit)
    throw new CloisterError('image.manifest-malformed', {
      where: what,
      why: `the ${what} has ${bytes.length} bytes; at most ${limit} are taken`,
    })
  const result = schema.safeParse(parseJson(bytes, what))
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new CloisterError('image.manifest-malformed', {
    where: `${what}: ${issue?.path.join('.').slice(0, 100) ?? ''}`,
    why: issue?.message ?? `the ${what} does not have the OCI shape`,
  })
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new CloisterError('image.manifest-malformed', {
      where: what,
      why: `the ${what} is not JSON`,
      cause,
    })
  }
}

function checkOwnType(own: string | undefined, permitted: readonly string[], what: string): void {
  if (own === undefined || permitted.includes(own)) return
  throw new CloisterError('image.manifest-malformed', {
    where: `${what}: mediaType`,
    expected: permitted.join(' or '),
    received: own.slice(0, 100),
  })
}
