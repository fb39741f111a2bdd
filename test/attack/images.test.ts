/**
 * Attacks on the image on its way to the guest: the agent's own pull, here in this process, over HTTP from a layout that its host has changed,
 * with the keys of a real broker. The host sees the layout and the traffic, and no canary in them.
 */
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { pullWorkloadImage } from '@cloister/agent/image/pull-workload'
import { refusal } from '@cloister/broker/testing/rcar-client'
import { fakePolicy } from '@cloister/broker/testing/test-broker'
import { simulatedWorld, type World } from '@cloister/broker/testing/world'
import { openLayout, REF_NAME } from '@cloister/oci/layout'
import { serveLayout } from '@cloister/oci/layout-server'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { parseManifest, type Descriptor, type Manifest } from '@cloister/oci/manifest'
import { OCICRYPT } from '@cloister/oci/ocicrypt'
import { signImage } from '@cloister/oci/sign-image'
import { signatureTag } from '@cloister/oci/simple-signing'
import { CloisterError } from '@cloister/protocol/error'
import { WorkloadSchema, type Workload } from '@cloister/protocol/workload'
import { assertSilent, newCanary } from './support/canary.ts'
import { sealImage } from './support/canary-image.ts'
import { startRelay, type RecordingRelay } from './support/recording-relay.ts'

const REFERENCE = { registry: 'localhost', repository: 'canary' }
const TAG = 'latest'
const KEYS = { own: 'image-key/canary/key', other: 'image-key/other/key' } as const
const newSigner = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

describe('an image that the host has changed', { timeout: 300_000 }, () => {
  const canaries = { older: newCanary(), current: newCanary(), other: newCanary() }
  const signer = newSigner()
  let world: World
  let folder: string
  /** The owner's layout, untouched. */
  let published: string
  let older: string
  let current: string
  let other: string
  /** The host's copy. */
  let layout: string
  let registry: Server
  let relay: RecordingRelay
  /** The guest's scratch space. */
  let guest: string

  before(async () => {
    world = await simulatedWorld()
    folder = await mkdtemp(join(tmpdir(), 'cl-images-'))
    published = join(folder, 'published')
    const keys = { [KEYS.own]: randomBytes(32), [KEYS.other]: randomBytes(32) }
    older = await seal(canaries.older, TAG, KEYS.own, keys)
    current = await seal(canaries.current, TAG, KEYS.own, keys)
    other = await seal(canaries.other, 'other', KEYS.other, keys)
    for (const [path, name] of [
      [KEYS.own, 'demo'],
      [KEYS.other, 'another'],
    ] as const)
      await world.t.owner('PUT', `/secrets/${path}`, {
        value: keys[path].toString('base64'),
        allowSimulated: true,
        release: fakePolicy({ anchors: ['simulated'], workloads: [{ name }] }),
      })
  })

  beforeEach(async () => {
    layout = await mkdtemp(join(folder, 'host-'))
    guest = await mkdtemp(join(tmpdir(), 'cl-guest-'))
    await cp(published, layout, { recursive: true })
    registry = createServer(serveLayout(layout)).listen(0, '127.0.0.1')
    await once(registry, 'listening')
    relay = await startRelay((registry.address() as AddressInfo).port, join(folder, 'traffic'))
  })

  afterEach(async () => {
    registry.closeAllConnections()
    registry.close()
    await relay[Symbol.asyncDispose]()
    await rm(guest, { recursive: true, force: true })
    await assertSilent([folder, world.t.directory], Object.values(canaries))
  })

  after(async () => {
    await world[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  async function seal(canary: string, tag: string, imageKey: string, keys: Record<string, Buffer>) {
    const rootfs = await mkdtemp(join(tmpdir(), 'cl-rootfs-'))
    await writeFile(join(rootfs, 'program'), canary)
    const signature = { privateKey: signer.privateKey, reference: REFERENCE }
    const key = keys[imageKey]!
    try {
      return await sealImage({ rootfs, layout: published, tag, imageKey, key, signature })
    } finally {
      await rm(rootfs, { recursive: true })
    }
  }

  /** As the owner wrote it: by digest, signed by the owner's key. */
  function workload(digest: string, isSigned = true): Workload {
    const keyData = signer.publicKey.export({ type: 'spki', format: 'pem' }) as string
    const requirement = {
      type: 'sigstoreSigned',
      keyData: Buffer.from(keyData).toString('base64'),
      signedIdentity: { type: 'matchRepository' },
    }
    return WorkloadSchema.parse({
      version: 1,
      name: 'demo',
      revision: 1,
      broker: { url: world.t.broker.url, spki: [world.t.broker.spki] },
      image: {
        reference: `${REFERENCE.registry}/${REFERENCE.repository}:${TAG}@${digest}`,
        digest,
        registry: { target: 'registry', plainHttp: true },
        ...(isSigned && { signaturePolicy: { default: [requirement] } }),
      },
      container: { id: 'demo' },
    })
  }

  /** Code in the broker's audit of what it refused during the last pull. */
  let auditCode: string | undefined

  /** The guest asks the broker in its own name, with evidence that is in order. */
  async function getResource(path: string): Promise<Uint8Array> {
    const answer = await world.t.client.resource(world.guest(), path)
    if (Buffer.isBuffer(answer)) return answer
    auditCode = (await world.t.audit(answer.requestId)).code
    throw new CloisterError('agent.resource-refused', { where: path })
  }

  async function pull(from: Workload): Promise<string> {
    auditCode = undefined
    const directory = join(guest, 'rootfs')
    await pullWorkloadImage({
      workload: from,
      directory,
      openTarget: async () => {
        const socket = connect(relay.port, '127.0.0.1')
        await once(socket, 'connect')
        return socket
      },
      getResource,
      signal: AbortSignal.timeout(60_000),
    })
    return await readFile(join(directory, 'program'), 'utf8')
  }

  /** Expects this code, and nothing in the guest's scratch space. */
  async function refuses(from: Workload, code: string): Promise<void> {
    await assert.rejects(pull(from), { code })
    assert.deepEqual(await readdir(guest), [])
  }

  const blobFile = (digest: string) => join(layout, 'blobs', ...digest.split(':'))

  async function manifestOf(digest: string): Promise<Manifest> {
    return parseManifest(await readFile(blobFile(digest)))
  }

  async function layerOf(digest: string): Promise<Descriptor> {
    const [layer] = (await manifestOf(digest)).layers
    assert.ok(layer !== undefined)
    return layer
  }

  /** Puts a manifest with another layer into the host's layout. @returns its digest */
  async function withLayer(layer: Descriptor): Promise<string> {
    const bytes = Buffer.from(JSON.stringify({ ...(await manifestOf(current)), layers: [layer] }))
    const sink = await LayoutWriter.open(layout)
    const { digest } = await sink.putDocument(bytes, 'application/vnd.oci.image.manifest.v1+json')
    return digest
  }

  /** Moves a tag to a document of the layout. */
  async function tag(name: string, digest: string): Promise<void> {
    const file = join(layout, 'index.json')
    const index = JSON.parse(await readFile(file, 'utf8')) as { manifests: Descriptor[] }
    const { size } = await readFile(blobFile(digest)).then(({ length }) => ({ size: length }))
    const { mediaType = '' } = index.manifests[0] ?? {}
    const entry = { mediaType, digest, size, annotations: { [REF_NAME]: name } }
    const others = index.manifests.filter(({ annotations }) => annotations?.[REF_NAME] !== name)
    await writeFile(file, JSON.stringify({ ...index, manifests: [...others, entry] }))
  }

  test('is pulled when the host has changed nothing', async () => {
    assert.equal(await pull(workload(current)), canaries.current)
  })

  test('a flipped bit of a layer is refused', async () => {
    const file = blobFile((await layerOf(current)).digest)
    const bytes = await readFile(file)
    bytes[bytes.length >> 1]! ^= 1
    await writeFile(file, bytes)
    await refuses(workload(current), 'image.digest-mismatch')
  })

  test('a flipped bit of a layer under a manifest that fits is refused by its MAC', async () => {
    const layer = await layerOf(current)
    const bytes = await readFile(blobFile(layer.digest))
    bytes[bytes.length >> 1]! ^= 1
    const sink = await LayoutWriter.open(layout)
    const { digest } = await sink.putDocument(bytes, layer.mediaType)
    const forged = await withLayer({ ...layer, digest })
    await refuses(workload(forged, false), 'image.decryption-failed')
  })

  test('an image without its signature is refused', async () => {
    const file = join(layout, 'index.json')
    const index = JSON.parse(await readFile(file, 'utf8')) as { manifests: Descriptor[] }
    const manifests = index.manifests.filter(
      ({ annotations }) => annotations?.[REF_NAME] !== signatureTag(current),
    )
    await writeFile(file, JSON.stringify({ ...index, manifests }))
    await refuses(workload(current), 'image.signature-missing')
  })

  test("an image that carries another key's signature is refused", async () => {
    const empty = join(folder, 'stranger')
    await mkdir(empty)
    const sink = await LayoutWriter.open(empty)
    const { digest } = await signImage({
      source: await openLayout(empty),
      sink,
      manifestDigest: current,
      reference: REFERENCE,
      privateKey: newSigner().privateKey,
    })
    await cp(join(empty, 'blobs'), join(layout, 'blobs'), { recursive: true })
    await tag(signatureTag(current), digest)
    await refuses(workload(current), 'image.signature-invalid')
  })

  test('an older signed image under the same tag is refused', async () => {
    await tag(TAG, older)
    await cp(blobFile(older), blobFile(current))
    await refuses(workload(current), 'image.digest-mismatch')
  })

  test('the signature of an older image does not vouch for a newer one', async () => {
    const source = await openLayout(layout)
    const signature = (await source.tagged(signatureTag(older)))?.digest
    assert.ok(signature !== undefined)
    await tag(signatureTag(current), signature)
    await refuses(workload(current), 'image.signature-invalid')
  })

  test('a layer of another image is refused', async () => {
    const [own, foreign] = [await layerOf(current), await layerOf(other)]
    const forged = await withLayer({ ...foreign, annotations: own.annotations })
    await cp(blobFile(forged), blobFile(current))
    await refuses(workload(current), 'image.digest-mismatch')
    // And where the owner let any digest pass: it is not what our key was made for.
    await refuses(workload(forged, false), 'image.decryption-failed')
  })

  test('a layer of another image with its own key id gets no key', async () => {
    const forged = await withLayer(await layerOf(other))
    await refuses(workload(forged, false), 'agent.resource-refused')
    assert.equal(auditCode, 'release.workload-not-listed')
  })

  test('our layer under the key id of another image gets no key', async () => {
    const layer = await layerOf(current)
    const wrapped = layer.annotations?.[OCICRYPT.attestationAgent] ?? ''
    const packet = JSON.parse(Buffer.from(wrapped, 'base64').toString('utf8')) as object
    const renamed = JSON.stringify({ ...packet, kid: `kbs:///${KEYS.other}` })
    const forged = await withLayer({
      ...layer,
      annotations: {
        ...layer.annotations,
        [OCICRYPT.attestationAgent]: Buffer.from(renamed).toString('base64'),
      },
    })
    await cp(blobFile(forged), blobFile(current))
    await refuses(workload(current), 'image.digest-mismatch')
    await refuses(workload(forged, false), 'agent.resource-refused')
    assert.equal(auditCode, 'release.workload-not-listed')
  })

  test('whoever has the image and no evidence gets no key', async () => {
    const { cookie } = await world.t.client.auth()
    const answer = await world.t.client.call('GET', `/resource/${KEYS.own}`, { cookie })
    assert.equal(refusal(answer).code, 'kbs.token-absent')
  })
})
