import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { RegistryClient, type RegistryOptions } from './registry-client.ts'
import type { HttpRequest, HttpResponse } from './http-message.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const CREDENTIALS = { user: 'me', password: 'secret' }
const BASIC = `Basic ${Buffer.from('me:secret').toString('base64')}`

test('Basic credentials are sent after a challenge, to the registry only', async () => {
  const registry = new FakeRegistry(({ url, headers }) => {
    if (url.host !== 'reg.example') return answer(200, { body: 'blob' })
    if (headers['authorization'] !== BASIC)
      return answer(401, { 'www-authenticate': 'Basic realm="x"' })
    return answer(307, { location: 'https://storage.example/blob' })
  })
  const client = registry.client({ credentials: CREDENTIALS })
  assert.equal((await collect(client.blob({ digest: DIGEST, size: 4 }))).toString(), 'blob')
  const [first, second, third] = registry.requests
  assert.equal(first?.headers['authorization'], undefined)
  assert.equal(second?.headers['authorization'], BASIC)
  assert.equal(third?.url.host, 'storage.example')
  assert.equal(third?.headers['authorization'], undefined)
})

test('a bearer token is fetched from the realm for the right scope and used again', async () => {
  const registry = new FakeRegistry(({ url, headers }) => {
    if (url.host === 'auth.example') return answer(200, { body: '{"token":"t0ken"}' })
    const challenge = 'Bearer realm="https://auth.example/token",service="reg",scope="ignored"'
    if (headers['authorization'] !== 'Bearer t0ken')
      return answer(401, { 'www-authenticate': challenge })
    return answer(200, { body: '{}' })
  })
  const client = registry.client({ credentials: CREDENTIALS })
  await client.document('v1')
  await client.document('v2')
  const realm = registry.requests.filter(({ url }) => url.host === 'auth.example')
  assert.equal(realm.length, 1)
  assert.equal(realm[0]!.headers['authorization'], BASIC)
  assert.equal(realm[0]!.url.searchParams.get('scope'), 'repository:team/app:pull')
  assert.equal(realm[0]!.url.searchParams.get('service'), 'reg')
})

test('credentials never travel in clear', async () => {
  const basic = new FakeRegistry(() => answer(401, { 'www-authenticate': 'Basic realm="x"' }))
  const plain = basic.client({ credentials: CREDENTIALS, plainHttp: true })
  await assert.rejects(plain.document('v1'), { code: 'registry.unauthorized' })
  const realm = new FakeRegistry(() =>
    answer(401, { 'www-authenticate': 'Bearer realm="http://auth.example/"' }),
  )
  const client = realm.client({ credentials: CREDENTIALS })
  await assert.rejects(client.document('v1'), { code: 'registry.failed' })
  for (const { headers } of [...basic.requests, ...realm.requests])
    assert.equal(headers['authorization'], undefined)
})

test('a wrong password ends after one more try', async () => {
  const registry = new FakeRegistry(() => answer(401, { 'www-authenticate': 'Basic realm="x"' }))
  const client = registry.client({ credentials: CREDENTIALS })
  await assert.rejects(client.document('v1'), { code: 'registry.unauthorized' })
  assert.equal(registry.requests.length, 2)
})

test('redirects are counted and never leave https', async () => {
  const loop = new FakeRegistry(({ url }) => answer(302, { location: `${url.pathname}x` }))
  await assert.rejects(loop.client().document('v1'), { code: 'registry.redirect-refused' })
  assert.equal(loop.requests.length, 6)
  for (const location of ['http://reg.example/', 'file:///etc/passwd', '', '//[']) {
    const down = new FakeRegistry(() => answer(302, { location }))
    await assert.rejects(down.client().document('v1'), { code: 'registry.redirect-refused' })
  }
})

test('a blob that breaks off goes on where it stopped', async () => {
  const content = Buffer.from('0123456789')
  for (const knowsRanges of [true, false]) {
    const registry = new FakeRegistry(({ headers }) => {
      const start = Number(/\d+/.exec(headers['range'] ?? '0')?.[0] ?? 0)
      const from = knowsRanges ? start : 0
      const range = knowsRanges && start > 0
      const headersOut = range ? { 'content-range': `bytes ${start}-9/10` } : {}
      return {
        ...answer(range ? 206 : 200, headersOut),
        body: breakOff(content.subarray(from), start < 8 ? start - from + 4 : 99),
      }
    })
    const blob = await collect(registry.client().blob({ digest: DIGEST, size: 10 }))
    assert.deepEqual(blob, content)
    assert.deepEqual(
      registry.requests.map(({ headers }) => headers['range']),
      [undefined, 'bytes=4-', 'bytes=8-'],
    )
  }
})

test('a blob without progress is given up, one of another size or range refused', async () => {
  const dead = new FakeRegistry(() => ({ ...answer(200), body: breakOff(Buffer.from('0123'), 0) }))
  await assert.rejects(collect(dead.client().blob({ digest: DIGEST, size: 4 })), {
    code: 'registry.unreachable',
  })
  assert.equal(dead.requests.length, 4)
  const size = { code: 'image.size-mismatch' }
  const short = new FakeRegistry(() => answer(200, { body: 'abc' }))
  await assert.rejects(collect(short.client().blob({ digest: DIGEST, size: 4 })), size)
  const endless = new FakeRegistry(() => ({ ...answer(200), body: forever() }))
  await assert.rejects(collect(endless.client().blob({ digest: DIGEST, size: 4 })), size)
  let calls = 0
  const shifted = new FakeRegistry(() =>
    calls++ === 0
      ? { ...answer(200), body: breakOff(Buffer.from('0123'), 2) }
      : answer(206, { 'content-range': 'bytes 0-3/4', body: '0123' }),
  )
  await assert.rejects(collect(shifted.client().blob({ digest: DIGEST, size: 4 })), {
    code: 'registry.failed',
  })
})

test('busy registries are asked again, failing ones not for ever', async () => {
  let left = 2
  const busy = new FakeRegistry(() => (left-- > 0 ? answer(503) : answer(200, { body: '{}' })))
  assert.equal((await busy.client().document('v1'))?.length, 2)
  const down = new FakeRegistry(() => answer(500))
  await assert.rejects(down.client().document('v1'), { code: 'registry.failed' })
  assert.equal(down.requests.length, 4)
})

test('documents: absent, too long', async () => {
  const empty = new FakeRegistry(() => answer(404))
  assert.equal(await empty.client().document('v1'), undefined)
  await assert.rejects(collect(empty.client().blob({ digest: DIGEST, size: 4 })), {
    code: 'image.not-found',
  })
  const endless = new FakeRegistry(() => ({ ...answer(200), body: forever() }))
  await assert.rejects(endless.client().document('v1'), { code: 'image.manifest-malformed' })
})

class FakeRegistry {
  readonly requests: HttpRequest[] = []
  readonly #answer: (request: HttpRequest) => HttpResponse

  constructor(answerRequest: (request: HttpRequest) => HttpResponse) {
    this.#answer = answerRequest
  }

  client(options: Partial<RegistryOptions> = {}): RegistryClient {
    return new RegistryClient({
      reference: { registry: 'reg.example', repository: 'team/app' },
      transport: async (request) => {
        this.requests.push(request)
        return this.#answer(request)
      },
      retryDelayMs: 1,
      ...options,
    })
  }
}

function answer(status: number, headers: Record<string, string> = {}): HttpResponse {
  const { body = '', ...rest } = headers
  return { status, headers: rest, body: breakOff(Buffer.from(body), 1 << 20) }
}

/** The bytes one by one; the connection breaks after so many. */
async function* breakOff(bytes: Uint8Array, after: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < bytes.length; index++) {
    if (index >= after) throw new CloisterError('registry.unreachable')
    yield bytes.subarray(index, index + 1)
  }
}

async function* forever(): AsyncGenerator<Uint8Array> {
  for (;;) yield Buffer.alloc(1 << 20)
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}
