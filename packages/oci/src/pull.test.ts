import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  encryptedSample,
  plainSample,
  pullOptions,
  SAMPLE_KEY,
  signingKey,
  signSample,
  type SampleImage,
} from '../test/sample-image.ts'
import { tarFile, tarStream } from './testing/tar-file.ts'
import { temporaryDirectory } from '../test/temporary-directory.ts'
import { buildImage } from './build-image.ts'
import { sha256Digest } from './digest.ts'
import { brokerUnwrapper } from './key-unwrap.ts'
import { pullImage, type PullOptions, type PullProgress } from './pull.ts'
import { parseSignaturePolicy } from './signature-policy.ts'

test('an encrypted and signed image of each compression is pulled', async (t) => {
  const key = signingKey()
  for (const compression of ['gzip', 'zstd', 'none'] as const) {
    const sample = await encryptedSample(compression)
    await signSample(sample, key.privateKey)
    const directory = `${temporaryDirectory(t)}/root`
    const progress: PullProgress[] = []
    const pulled = await pullImage({
      ...pullOptions(sample, directory),
      policy: requireSignature(key.publicPem),
      onProgress: (report) => progress.push(report),
    })
    assert.deepEqual(readdirSync(directory, { recursive: true }).toSorted(byText), [
      'etc',
      'etc/a',
      'etc/b',
    ])
    assert.equal(readFileSync(`${directory}/etc/b`, 'utf8'), 'b'.repeat(5000))
    assert.deepEqual(pulled.config.config?.Cmd, ['/bin/app'])
    assert.equal(pulled.encryptedLayers, 2)
    assert.equal(pulled.signedBy.length, 1)
    const last = progress.at(-1)!
    assert.equal(last.step, 'done')
    assert.equal(last.bytes, last.totalBytes)
  }
})

test('many layers are applied in their order whatever the concurrency', async (t) => {
  const { store } = await plainSample()
  const layers = Array.from({ length: 12 }, (_, index) => ({
    tar: tarStream([
      { name: 'last', content: String(index) },
      { name: `f${index}`, content: 'x'.repeat(9000) },
    ]),
  }))
  const platform = { os: 'linux', architecture: 'amd64' }
  const { digest } = await buildImage({ sink: store, tag: 'v2', layers, config: {}, platform })
  for (const concurrency of [1, 2, 3, 20]) {
    const directory = `${temporaryDirectory(t)}/root`
    await pullImage({ ...pullOptions({ store, digest }, directory), concurrency })
    assert.equal(readFileSync(`${directory}/last`, 'utf8'), '11')
    assert.equal(readdirSync(directory).length, 13)
  }
})

test('a flipped byte of any blob is refused', async (t) => {
  const sample = await encryptedSample()
  for (const digest of pulledDigests(sample)) {
    const honest = sample.store.blobs.get(digest)!
    sample.store.blobs.set(digest, flipped(honest))
    await refuses(t, pullOptions(sample, ''), 'image.digest-mismatch')
    sample.store.blobs.set(digest, honest.subarray(0, -1))
    const truncated = digest === sample.digest ? 'image.digest-mismatch' : 'image.size-mismatch'
    await refuses(t, pullOptions(sample, ''), truncated)
    sample.store.blobs.set(digest, Buffer.concat([honest, Buffer.from('x')]))
    await refuses(t, pullOptions(sample, ''), truncated)
    sample.store.blobs.set(digest, honest)
  }
})

test('another image under the same name is refused by its digest', async (t) => {
  const sample = await encryptedSample()
  const other = await plainSample('zstd')
  sample.store.blobs.set(sample.digest, other.store.blobs.get(other.digest)!)
  await refuses(t, pullOptions(sample, ''), 'image.digest-mismatch')
})

test('changed ciphertext with a digest that fits is refused by its MAC', async (t) => {
  const sample = await encryptedSample('none')
  const digest = sample.store.changed(sample.digest, ({ layers }) => {
    const changed = flipped(sample.store.blobs.get(layers[1]!.digest)!)
    layers[1]!.digest = sha256Digest(changed)
    sample.store.blobs.set(layers[1]!.digest, changed)
  })
  await refuses(t, { ...pullOptions(sample, ''), digest }, 'image.decryption-failed')
})

test('a layer of another image, with its own key packet or with ours, is refused', async (t) => {
  const sample = await encryptedSample()
  const other = await encryptedSample('zstd')
  const foreign = manifestOf(other).layers[0]!
  sample.store.blobs.set(foreign.digest, other.store.blobs.get(foreign.digest)!)
  const crossed = sample.store.changed(sample.digest, ({ layers }) => layers.reverse())
  const underOurKey = sample.store.changed(sample.digest, ({ layers }) => {
    layers[0] = { ...foreign, mediaType: layers[0]!.mediaType, annotations: layers[0]!.annotations }
  })
  await refuses(t, { ...pullOptions(sample, ''), digest: crossed }, 'image.diff-id-mismatch')
  await refuses(t, { ...pullOptions(sample, ''), digest: underOurKey }, 'image.decryption-failed')
})

test('keys: none, another, one that is not permitted, one of a foreign kind', async (t) => {
  const sample = await encryptedSample()
  const options = pullOptions(sample, '')
  const getResource = () => Promise.resolve(SAMPLE_KEY)
  sample.store.asked.length = 0
  const { unwrapKey: _, ...withoutKey } = options
  await refuses(t, withoutKey, 'image.key-missing')
  const wrong = brokerUnwrapper({ getResource: () => Promise.resolve(Buffer.alloc(32)) })
  await refuses(t, { ...options, unwrapKey: wrong }, 'image.decryption-failed')
  const short = brokerUnwrapper({ getResource: () => Promise.resolve(Buffer.alloc(16)) })
  await refuses(t, { ...options, unwrapKey: short }, 'image.decryption-failed')
  const foreign = brokerUnwrapper({ allowed: ['default/image-key/other'], getResource })
  await refuses(t, { ...options, unwrapKey: foreign }, 'image.key-refused')
  const nothing = brokerUnwrapper({ allowed: [], getResource })
  await refuses(t, { ...options, unwrapKey: nothing }, 'image.key-refused')
  const { config } = manifestOf(sample)
  assert.ok(
    sample.store.asked.every((digest) => digest === config.digest),
    'a layer was fetched',
  )
})

test('signatures: none, another key, another digest, another name, a rejected name', async (t) => {
  const sample = await encryptedSample()
  const older = await encryptedSample()
  const [key, stranger] = [signingKey(), signingKey()]
  const options = { ...pullOptions(sample, ''), policy: requireSignature(key.publicPem) }
  await refuses(t, options, 'image.signature-missing')
  await signSample(sample, stranger.privateKey)
  await refuses(t, options, 'image.signature-invalid')
  // The good signature of an older image, put under the tag of this one.
  await signSample(older, key.privateKey)
  const [olderTag] = [...older.store.tags].find(([tag]) => tag.endsWith('.sig'))!
  for (const [digest, bytes] of older.store.blobs) sample.store.blobs.set(digest, bytes)
  sample.store.tags.set(`${sample.digest.replace(':', '-')}.sig`, older.store.tags.get(olderTag)!)
  await refuses(t, options, 'image.signature-invalid')
  sample.store.tags.delete(`${sample.digest.replace(':', '-')}.sig`)
  await signSample(sample, key.privateKey, 'registry.example/team/other')
  await refuses(t, options, 'image.signature-identity')
  await signSample(sample, key.privateKey)
  await pullImage({ ...options, directory: `${temporaryDirectory(t)}/root` })
  const rejecting = parseSignaturePolicy({ default: [{ type: 'reject' }] })
  await refuses(t, { ...options, policy: rejecting }, 'image.policy-rejected')
})

test('an image for another architecture, an index or an unknown layer type is refused', async (t) => {
  const sample = await plainSample()
  const options = pullOptions(sample, '')
  const platform = { os: 'linux', architecture: 's390x' }
  await refuses(t, { ...options, platform }, 'image.platform-missing')
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }))
  sample.store.blobs.set(sha256Digest(index), index)
  await refuses(t, { ...options, digest: sha256Digest(index) }, 'image.manifest-malformed')
  const odd = sample.store.changed(
    sample.digest,
    ({ layers }) => (layers[0]!.mediaType = 'text/plain'),
  )
  await refuses(t, { ...options, digest: odd }, 'image.media-type-unsupported')
  const fewer = sample.store.changed(sample.digest, ({ layers }) => layers.pop())
  await refuses(t, { ...options, digest: fewer }, 'image.manifest-malformed')
})

test('a plain layer whose content has another diff_id is refused', async (t) => {
  const sample = await plainSample()
  const evil = gzipSync(tarFile([{ name: 'evil', content: 'x' }]))
  const digest = replaceFirstLayer(sample, evil)
  await refuses(t, { ...pullOptions(sample, ''), digest }, 'image.diff-id-mismatch')
})

test('bombs end at a limit', async (t) => {
  const sample = await plainSample()
  const zeros = gzipSync(Buffer.alloc(8 << 20))
  const digest = replaceFirstLayer(sample, zeros)
  const options = { ...pullOptions(sample, ''), digest }
  const limits = { ratioFreeBytes: 1 << 20 }
  await refuses(t, { ...options, limits }, 'image.limit-exceeded')
  await refuses(t, { ...options, limits: { bytes: 1 << 20 } }, 'image.limit-exceeded')
})

test('a thread of its own unpacks, refuses and cleans up as the caller does', async (t) => {
  const threadFromBytes = 0
  const sample = await encryptedSample()
  const directory = `${temporaryDirectory(t)}/root`
  const pulled = await pullImage({ ...pullOptions(sample, directory), threadFromBytes })
  assert.equal(readFileSync(`${directory}/etc/b`, 'utf8'), 'b'.repeat(5000))
  assert.equal(pulled.entries, 5)

  const refusedFor = async (layer: Uint8Array, code: string, limits = {}) => {
    const plain = await plainSample()
    const digest = replaceFirstLayer(plain, layer)
    await refuses(t, { ...pullOptions(plain, ''), digest, limits, threadFromBytes }, code)
  }
  await refusedFor(gzipSync(tarFile([{ name: 'x', content: 'x' }])), 'image.diff-id-mismatch')
  await refusedFor(gzipSync(tarFile([{ name: '../x', content: 'x' }])), 'image.entry-refused')
  await refusedFor(gzipSync(Buffer.alloc(2048, 1)), 'image.layer-malformed')
  const large = gzipSync(tarFile([{ name: 'x', content: 'x'.repeat(8 << 20) }]))
  await refusedFor(large, 'image.diff-id-mismatch')
  await refusedFor(large, 'image.limit-exceeded', { bytes: 1 << 20 })
  await refusedFor(large, 'image.limit-exceeded', { entries: 0 })
  await refusedFor(large.subarray(0, -100), 'image.layer-malformed')
})

test('a place without room for the image is told as that, and left empty', async (t) => {
  const parent = temporaryDirectory(t)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', parent])
  if (mounted.status !== 0) return t.skip('only root may mount a small file system')
  using _ = { [Symbol.dispose]: () => void spawnSync('umount', [parent]) }
  const sample = await plainSample()
  const layers = [{ tar: tarStream([{ name: 'large', content: 'x'.repeat(3 << 20) }]) }]
  const platform = { os: 'linux', architecture: 'amd64' }
  const { digest } = await buildImage({
    sink: sample.store,
    tag: 'v3',
    layers,
    config: {},
    platform,
  })
  for (const threadFromBytes of [0, Infinity]) {
    const options = pullOptions({ store: sample.store, digest }, `${parent}/root`)
    await assert.rejects(pullImage({ ...options, threadFromBytes }), { code: 'image.no-space' })
    assert.deepEqual(readdirSync(parent), [])
  }
})

test('a thread that does not start ends the pull', async (t) => {
  const sample = await plainSample()
  const unpackWorker = new URL('file:///nonexistent/unpack-worker.mjs')
  const options = { ...pullOptions(sample, ''), threadFromBytes: 0, unpackWorker }
  await refuses(t, options, 'internal.bug')
  // Also when it is over long before a layer comes.
  await refuses(t, { ...options, place: sleep(500) }, 'internal.bug')
})

test('a pull that is aborted leaves nothing', async (t) => {
  const sample = await encryptedSample()
  const parent = temporaryDirectory(t)
  for (const threadFromBytes of [0, Infinity]) {
    const abort = new AbortController()
    const pull = pullImage({
      ...pullOptions(sample, `${parent}/root`),
      threadFromBytes,
      signal: abort.signal,
      onProgress: ({ bytes }) => bytes > 0 && abort.abort(),
    })
    await assert.rejects(pull, { name: 'AbortError' })
    assert.deepEqual(readdirSync(parent), [])
  }
})

test('a pull begins before its place is there, and ends with what kept it from being made', async (t) => {
  const sample = await encryptedSample()
  const parent = temporaryDirectory(t)
  const place = Promise.withResolvers<void>()
  const keys = Promise.withResolvers<void>()
  const steps: string[] = []
  const pull = pullImage({
    ...pullOptions(sample, `${parent}/place/root`),
    place: place.promise,
    onProgress: ({ step }) => {
      steps.push(step)
      if (step === 'keys') keys.resolve()
    },
  })
  await keys.promise
  mkdirSync(`${parent}/place`)
  place.resolve()
  await pull
  assert.deepEqual(
    [...new Set(steps)],
    ['manifest', 'signatures', 'config', 'keys', 'layers', 'done'],
  )

  const failed = Promise.reject(new Error('no place'))
  failed.catch(() => undefined)
  const directory = `${parent}/place/other`
  await assert.rejects(pullImage({ ...pullOptions(sample, directory), place: failed }), {
    message: 'no place',
  })
  assert.deepEqual(readdirSync(`${parent}/place`), ['root'])
})

test('a staging place that is taken is left alone', async (t) => {
  const sample = await plainSample()
  const directory = `${temporaryDirectory(t)}/root`
  const [first, second] = await Promise.allSettled([
    pullImage(pullOptions(sample, directory)),
    pullImage(pullOptions(sample, directory)),
  ])
  assert.deepEqual([first.status, second.status].toSorted(byText), ['fulfilled', 'rejected'])
  assert.deepEqual(readdirSync(directory), ['etc'])
})

const byText = (a: string | Buffer, b: string | Buffer) => (String(a) < String(b) ? -1 : 1)

async function refuses(t: TestContext, options: PullOptions, code: string): Promise<void> {
  const parent = temporaryDirectory(t)
  await assert.rejects(pullImage({ ...options, directory: `${parent}/root` }), { code })
  assert.deepEqual(readdirSync(parent), [], 'something was left behind')
}

function requireSignature(publicPem: string) {
  const keyData = Buffer.from(publicPem).toString('base64')
  const signedIdentity = { type: 'matchRepository' }
  return parseSignaturePolicy({ default: [{ type: 'sigstoreSigned', keyData, signedIdentity }] })
}

interface PlainManifest {
  config: { digest: string }
  layers: {
    mediaType: string
    digest: string
    size: number
    annotations?: Record<string, string>
  }[]
}

function manifestOf({ store, digest }: SampleImage): PlainManifest {
  return JSON.parse(Buffer.from(store.blobs.get(digest)!).toString()) as PlainManifest
}

function pulledDigests(sample: SampleImage): string[] {
  const { config, layers } = manifestOf(sample)
  return [sample.digest, config.digest, ...layers.map(({ digest }) => digest)]
}

function replaceFirstLayer(sample: SampleImage, bytes: Uint8Array): string {
  sample.store.blobs.set(sha256Digest(bytes), bytes)
  return sample.store.changed(sample.digest, ({ layers }) => {
    layers[0] = { ...layers[0]!, digest: sha256Digest(bytes), size: bytes.length }
  })
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[Math.floor(copy.length / 2)]! ^= 1
  return copy
}
