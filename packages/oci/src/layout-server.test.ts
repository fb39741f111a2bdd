import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createTcpServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { CloisterError } from '@cloister/protocol/error'
import { SAMPLE_NAME, signingKey } from '../test/sample-image.ts'
import { tarStream } from './testing/tar-file.ts'
import { temporaryDirectory } from '../test/temporary-directory.ts'
import { buildImage } from './build-image.ts'
import { httpTransport } from './http-transport.ts'
import { openLayout } from './layout.ts'
import { parseRange, serveLayout } from './layout-server.ts'
import { LayoutWriter } from './layout-writer.ts'
import { pullImage } from './pull.ts'
import { parseReference } from './reference.ts'
import { RegistryClient } from './registry-client.ts'
import { signImage } from './sign-image.ts'
import { parseSignaturePolicy } from './signature-policy.ts'

test('a signed image is pulled from a layout through the endpoint, over any duplex', async (t) => {
  const { base, directory, digest } = await served(t)
  const key = signingKey()
  const reference = parseReference(`${SAMPLE_NAME}:v1`)
  const sink = await LayoutWriter.open(directory)
  const source = await openLayout(directory)
  await signImage({ source, sink, manifestDigest: digest, reference, privateKey: key.privateKey })
  const opened: URL[] = []
  using transport = httpTransport({
    connect: (url): Socket => {
      opened.push(url)
      return connect(Number(base.port), '127.0.0.1')
    },
  })
  const identity = { signedIdentity: { type: 'matchRepository' } }
  const requirement = { type: 'sigstoreSigned', keyData: key.publicPem, ...identity }
  const pulled = await pullImage({
    source: new RegistryClient({ reference, transport, plainHttp: true }),
    reference,
    digest,
    policy: parseSignaturePolicy({ default: [requirement] }),
    directory: `${temporaryDirectory(t)}/root`,
  })
  assert.equal(pulled.signedBy.length, 1)
  assert.ok(opened.every(({ host }) => host === 'registry.example'))
  assert.deepEqual(readdirSync(pulled.directory), ['file'])
})

test('tags, digests, HEAD and ranges are answered as a registry does', async (t) => {
  const { base, digest } = await served(t)
  const get = (path: string, init: RequestInit = {}) => fetch(new URL(path, base), init)
  assert.equal((await get('/v2/')).status, 200)
  const byTag = await get('/v2/any/name/manifests/v1')
  assert.equal(byTag.headers.get('docker-content-digest'), digest)
  assert.equal(byTag.headers.get('content-type'), 'application/vnd.oci.image.manifest.v1+json')
  const manifest = (await byTag.json()) as { layers: { digest: string; size: number }[] }
  const [layer] = manifest.layers
  const path = `/v2/any/name/blobs/${layer!.digest}`
  const head = await get(path, { method: 'HEAD' })
  assert.equal(head.headers.get('content-length'), String(layer!.size))
  const whole = Buffer.from(await (await get(path)).arrayBuffer())
  const part = await get(path, { headers: { range: 'bytes=5-9' } })
  assert.equal(part.status, 206)
  assert.equal(part.headers.get('content-range'), `bytes 5-9/${layer!.size}`)
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), whole.subarray(5, 10))
  assert.equal((await get(path, { headers: { range: 'bytes=999999-' } })).status, 416)
})

test('nothing but the layout can be named', async (t) => {
  const { base, directory } = await served(t)
  writeFileSync(`${directory}/secret`, 'secret')
  const linked = 'b'.repeat(64)
  symlinkSync('../../secret', `${directory}/blobs/sha256/${linked}`)
  const paths = [
    `/v2/a/blobs/sha256:${linked}`,
    `/v2/a/blobs/sha256:${'0'.repeat(64)}`,
    '/v2/a/blobs/..%2f..%2fsecret',
    '/v2/a/blobs/secret',
    '/v2/a/manifests/..',
    '/v2/a/manifests/none',
    '/v2/a/tags/list',
    '/secret',
    '/',
  ]
  for (const path of paths) assert.equal(await statusOf(base, 'GET', path), 404, path)
  assert.equal(await statusOf(base, 'PUT', '/v2/a/manifests/v1'), 405)
  assert.equal(await statusOf(base, 'POST', '/v2/a/blobs/uploads/'), 405)
})

test('parseRange', () => {
  const whole = { start: 0, end: 10, isPartial: false }
  assert.deepEqual(parseRange(undefined, 10), whole)
  assert.deepEqual(parseRange('bytes=0-1,3-4', 10), whole)
  assert.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 10, isPartial: true })
  assert.deepEqual(parseRange('bytes=3-', 10), { start: 3, end: 10, isPartial: true })
  assert.deepEqual(parseRange('bytes=3-99', 10), { start: 3, end: 10, isPartial: true })
  for (const range of ['bytes=10-', 'bytes=5-3', 'bytes=-0'])
    assert.equal(parseRange(range, 10), undefined)
})

test('a registry that is not there is unreachable; one that is silent too', async (t) => {
  let asked = 0
  const silent = createServer(() => asked++)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => silent.close())
  const port = (silent.address() as { port: number }).port
  const unreachable = { code: 'registry.unreachable' }
  const ask = (registry: string, transport: ReturnType<typeof httpTransport>) =>
    new RegistryClient({
      reference: { registry, repository: 'app' },
      transport,
      plainHttp: true,
      retryDelayMs: 1,
      patienceMs: 20,
    }).document('v1')
  using impatient = httpTransport({ idleTimeoutMs: 50 })
  await assert.rejects(ask(`127.0.0.1:${port}`, impatient), unreachable)
  assert.equal(asked, 1, 'a silence is waited for once')
  await assert.rejects(ask('127.0.0.1:1', impatient), unreachable)
  using refusing = httpTransport({
    connect: () => {
      throw new Error('no such target')
    },
  })
  await assert.rejects(ask('registry.example', refusing), unreachable)
})

test('a registry without TLS is unreachable, in words that say so', async (t) => {
  const plain = createTcpServer((socket) =>
    socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  )
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  t.after(() => plain.close())
  const { port } = plain.address() as { port: number }
  using transport = httpTransport()
  const client = new RegistryClient({
    reference: { registry: `127.0.0.1:${port}`, repository: 'app' },
    transport,
    retryDelayMs: 1,
  })
  await assert.rejects(client.document('v1'), (error: CloisterError) => {
    assert.equal(error.code, 'registry.unreachable')
    assert.match(error.details.why ?? '', /does not speak TLS/)
    return true
  })
})

test('a registry that takes the connection and says nothing in TLS is unreachable, over any duplex', async (t) => {
  const held: Socket[] = []
  const silent = createTcpServer((socket) => held.push(socket))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of held) socket.destroy()
    silent.close()
  })
  const { port } = silent.address() as { port: number }
  using transport = httpTransport({
    idleTimeoutMs: 50,
    connect: () => connect(port, '127.0.0.1'),
  })
  const client = new RegistryClient({
    reference: { registry: 'registry.example', repository: 'app' },
    transport,
    retryDelayMs: 1,
  })
  await assert.rejects(client.document('v1'), { code: 'registry.unreachable' })
})

async function served(t: TestContext): Promise<{ base: URL; directory: string; digest: string }> {
  const directory = `${temporaryDirectory(t)}/layout`
  mkdirSync(directory)
  const { digest } = await buildImage({
    sink: await LayoutWriter.open(directory),
    tag: 'v1',
    layers: [{ tar: tarStream([{ name: 'file', content: 'x'.repeat(10_000) }]) }],
    config: {},
  })
  const server = createServer(serveLayout(directory))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as { port: number }
  return { base: new URL(`http://127.0.0.1:${port}`), directory, digest }
}

/** As written: fetch would mend the path. */
async function statusOf(base: URL, method: string, path: string): Promise<number> {
  const socket = connect(Number(base.port), '127.0.0.1')
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return Number(text.split(' ')[1])
}
