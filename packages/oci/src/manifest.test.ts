import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isIndexDocument,
  MANIFEST_LIMITS,
  parseImageConfig,
  parseIndex,
  parseManifest,
  selectPlatform,
} from './manifest.ts'
import { encryptedType, layerFormat } from './media-types.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const DESCRIPTOR = { mediaType: 'application/octet-stream', digest: DIGEST, size: 1 }
const MANIFEST = { schemaVersion: 2, config: DESCRIPTOR, layers: [DESCRIPTOR] }
const MALFORMED = { code: 'image.manifest-malformed' }

test('parseManifest takes the OCI shape and unknown members', () => {
  assert.equal(parseManifest(json({ ...MANIFEST, subject: DESCRIPTOR })).layers.length, 1)
})

test('parseManifest refuses absurd manifests', () => {
  const absurd: unknown[] = [
    null,
    [],
    {},
    { ...MANIFEST, schemaVersion: 1 },
    { ...MANIFEST, manifests: [] },
    { ...MANIFEST, mediaType: 'application/vnd.oci.image.index.v1+json' },
    { ...MANIFEST, layers: Array.from({ length: MANIFEST_LIMITS.layers + 1 }, () => DESCRIPTOR) },
    { ...MANIFEST, config: { ...DESCRIPTOR, size: -1 } },
    { ...MANIFEST, config: { ...DESCRIPTOR, size: 1e20 } },
    { ...MANIFEST, config: { ...DESCRIPTOR, size: '1' } },
    { ...MANIFEST, config: { ...DESCRIPTOR, digest: 'sha256:../../etc/passwd' } },
    { ...MANIFEST, config: { ...DESCRIPTOR, digest: DIGEST.toUpperCase() } },
  ]
  for (const value of absurd) assert.throws(() => parseManifest(json(value)), MALFORMED)
  assert.throws(() => parseManifest(Buffer.from('{')), MALFORMED)
  assert.throws(() => parseManifest(Buffer.from([0x22, 0xff, 0x22])), MALFORMED)
  const long = Buffer.alloc(MANIFEST_LIMITS.manifestBytes + 1, 0x20)
  assert.throws(() => parseManifest(long), MALFORMED)
})

test('an index is told by its members and gives the entry for the platform', () => {
  const amd64 = { ...DESCRIPTOR, platform: { os: 'linux', architecture: 'amd64' } }
  const arm64 = { ...DESCRIPTOR, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }
  const bytes = json({ schemaVersion: 2, manifests: [DESCRIPTOR, arm64, amd64] })
  assert.equal(isIndexDocument(bytes), true)
  assert.equal(isIndexDocument(json(MANIFEST)), false)
  const index = parseIndex(bytes)
  assert.deepEqual(selectPlatform(index, amd64.platform).platform, amd64.platform)
  assert.throws(() => selectPlatform(index, { os: 'linux', architecture: 's390x' }), {
    code: 'image.platform-missing',
  })
  assert.throws(() => parseIndex(json({ schemaVersion: 2, manifests: [], layers: [] })), MALFORMED)
})

test('parseImageConfig takes the nulls that Docker writes', () => {
  const config = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [DIGEST] },
  }
  const parsed = parseImageConfig(json({ ...config, config: { Entrypoint: null, Cmd: ['/a'] } }))
  assert.deepEqual(parsed.config?.Cmd, ['/a'])
  assert.throws(() => parseImageConfig(json({ ...config, config: { Cmd: '/a' } })), MALFORMED)
  assert.throws(() => parseImageConfig(json({ ...config, rootfs: { type: 'x' } })), MALFORMED)
})

test('layerFormat knows plain and encrypted layers of both families', () => {
  const zstd = layerFormat('application/vnd.oci.image.layer.v1.tar+zstd+encrypted')
  assert.deepEqual(zstd, { compression: 'zstd', encrypted: true })
  const docker = layerFormat('application/vnd.docker.image.rootfs.diff.tar.gzip')
  assert.deepEqual(docker, { compression: 'gzip', encrypted: false })
  assert.equal(encryptedType(docker), 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted')
  assert.equal(layerFormat('application/vnd.wasm.content.layer.v1+wasm'), undefined)
  assert.equal(layerFormat('toString'), undefined)
})

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
