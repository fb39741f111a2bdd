/** Media types of OCI image-spec 1.1, of Docker's v2 schema 2, and ocicrypt's `+encrypted` forms. */

export const MEDIA_TYPES = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  /** Cosign's payload, one a layer of the signature's manifest. */
  simpleSigning: 'application/vnd.dev.cosign.simplesigning.v1+json',
} as const

export const MANIFEST_TYPES: readonly string[] = [
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifest,
]
export const INDEX_TYPES: readonly string[] = [MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerIndex]

export type Compression = 'none' | 'gzip' | 'zstd'

/** How the bytes of a layer are packed: encrypted over compressed over tar. */
export interface LayerFormat {
  readonly compression: Compression
  readonly encrypted: boolean
}

const COMPRESSION: Readonly<Record<string, Compression>> = {
  'application/vnd.oci.image.layer.v1.tar': 'none',
  'application/vnd.oci.image.layer.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd': 'zstd',
  'application/vnd.oci.image.layer.nondistributable.v1.tar': 'none',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd': 'zstd',
  'application/vnd.docker.image.rootfs.diff.tar': 'none',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd': 'zstd',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip': 'gzip',
}

const ENCRYPTED_SUFFIX = '+encrypted'

/** Absent: not a layer type that can be unpacked. */
export function layerFormat(mediaType: string): LayerFormat | undefined {
  const encrypted = mediaType.endsWith(ENCRYPTED_SUFFIX)
  const plain = encrypted ? mediaType.slice(0, -ENCRYPTED_SUFFIX.length) : mediaType
  const compression = Object.hasOwn(COMPRESSION, plain) ? COMPRESSION[plain] : undefined
  return compression === undefined ? undefined : { compression, encrypted }
}

/** The type of the same layer after encryption; Docker's types become OCI's, for ocicrypt has no other. */
export function encryptedType(format: LayerFormat): string {
  const suffix = format.compression === 'none' ? '' : `+${format.compression}`
  return `${MEDIA_TYPES.ociLayer}${suffix}${ENCRYPTED_SUFFIX}`
}
