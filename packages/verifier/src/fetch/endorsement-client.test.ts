import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { FormatError } from '../bytes/format-error.ts'
import { FakeServices } from '../testing/fake-services.ts'
import { EndorsementClient } from './endorsement-client.ts'
import type { EndorsementClientOptions, EndorsementRequest } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import type { FetchErrorCode } from './fetch-error.ts'
import { MemoryFetchCache } from './fetch-cache.ts'

const PATH = '/thing'

/** A client whose pauses cost no time and are written down; its clock goes on by them. */
function clientFor(options: Partial<EndorsementClientOptions> = {}) {
  const pauses: number[] = []
  const clock = { ms: Date.parse('2026-06-01') }
  const client = new EndorsementClient({
    fetch,
    spacingMs: 0,
    timeoutMs: 2000,
    random: () => 0.5,
    now: () => clock.ms,
    sleep: async (ms) => {
      pauses.push(ms)
      clock.ms += ms
    },
    ...options,
  })
  return { client, pauses, clock }
}

function request(
  services: FakeServices,
  more: Partial<EndorsementRequest<string>> = {},
): EndorsementRequest<string> {
  return {
    url: `${services.address}${PATH}?id=secret`,
    maxBytes: 100,
    freshMs: 1000,
    read: (body) => ({ value: fromUtf8('test', 'text', body) }),
    ...more,
  }
}

async function fails(
  answer: Promise<unknown>,
  code: FetchErrorCode,
): Promise<EndorsementFetchError> {
  const error = await answer.then(
    () => assert.fail(`no ${code}`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof EndorsementFetchError, String(error))
  assert.equal(error.code, code)
  assert.ok(!error.message.includes('secret'), error.message)
  return error
}

const served = (route: Parameters<FakeServices['set']>[1]) =>
  FakeServices.start({ [`${PATH}?id=secret`]: route })

test('get() asks once while the answer is fresh, and again afterwards', async () => {
  await using services = await served({ body: 'one' })
  const { client, clock } = clientFor()
  assert.deepEqual(await client.get(request(services)), { value: 'one', from: 'network' })
  assert.deepEqual(await client.get(request(services)), { value: 'one', from: 'cache' })
  clock.ms += 1000
  assert.equal((await client.get(request(services))).from, 'network')
  assert.equal(services.requests.length, 2)
})

test('get() makes one request of two calls at once', async () => {
  await using services = await served({ body: 'one' })
  const { client } = clientFor()
  const answers = await Promise.all([client.get(request(services)), client.get(request(services))])
  assert.deepEqual(
    answers.map(({ value }) => value),
    ['one', 'one'],
  )
  assert.equal(services.requests.length, 1)
})

test('get() serves what was kept while a service is down, never past its end', async () => {
  await using services = await served({ body: 'one' })
  const { client, clock } = clientFor({ attempts: 1 })
  const expires = new Date(clock.ms + 5000)
  const wanted = request(services, { read: () => ({ value: 'one', expires }) })
  await client.get(wanted)
  services.set(`${PATH}?id=secret`, { status: 500 })
  clock.ms += 2000
  assert.deepEqual(await client.get(wanted), { value: 'one', from: 'cache', expires })
  services.set(`${PATH}?id=secret`, { body: 'x'.repeat(101) })
  await fails(client.get(wanted), 'fetch.too-large')
  services.set(`${PATH}?id=secret`, { status: 500 })
  clock.ms += 3000
  await fails(client.get(wanted), 'fetch.server-error')
})

test('get() offline serves what is kept and in date, and asks nobody', async () => {
  await using services = await served({ body: 'one' })
  const cache = new MemoryFetchCache()
  await clientFor({ cache }).client.get(request(services))
  const { client, clock } = clientFor({ cache, offline: true })
  clock.ms += 1_000_000
  assert.deepEqual(await client.get(request(services)), { value: 'one', from: 'cache' })
  await fails(client.get(request(services, { url: `${services.address}/else` })), 'fetch.offline')
  assert.equal(services.requests.length, 1)
})

test('get() tries again after 429 as long as asked, with jitter after failures, within its bounds', async () => {
  let count = 0
  await using services = await served(() => {
    count++
    if (count === 1) return { status: 429, headers: { 'retry-after': '7' } }
    if (count === 2) return { status: 500 }
    if (count === 3) return { body: 'cut', missingBytes: 10 }
    return { body: 'whole' }
  })
  const { client, pauses } = clientFor()
  assert.equal((await client.get(request(services))).value, 'whole')
  assert.deepEqual(pauses, [7250, 500, 1000])
})

test('get() gives up where the service asks for more time than there is', async () => {
  await using services = await served({ status: 429, headers: { 'retry-after': '3600' } })
  const { client, pauses } = clientFor()
  const error = await fails(client.get(request(services)), 'fetch.rate-limited')
  assert.equal(error.retryAfterMs, 3_600_000)
  assert.equal(error.status, 429)
  assert.deepEqual(pauses, [])
})

test('get() ends with the code of what went wrong', async () => {
  const cases: readonly (readonly [Parameters<FakeServices['set']>[1], FetchErrorCode, number])[] =
    [
      [{ status: 404 }, 'fetch.not-found', 1],
      [{ status: 401 }, 'fetch.unauthorized', 1],
      [{ status: 403 }, 'fetch.unauthorized', 1],
      [{ status: 400 }, 'fetch.rejected', 1],
      [{ status: 204 }, 'fetch.rejected', 1],
      [{ status: 302, headers: { location: '/thing' } }, 'fetch.redirect-refused', 1],
      [{ status: 307, headers: { location: 'https://example.org/' } }, 'fetch.redirect-refused', 1],
      [{ status: 500 }, 'fetch.server-error', 4],
      [{ status: 503 }, 'fetch.server-error', 4],
      [{ status: 429 }, 'fetch.rate-limited', 4],
      [{ body: 'cut', missingBytes: 10 }, 'fetch.interrupted', 4],
      [{ body: 'x'.repeat(101) }, 'fetch.too-large', 1],
      [{ body: 'x', missingBytes: 1e9 }, 'fetch.too-large', 1],
      [{ body: Uint8Array.of(0xff) }, 'fetch.content-malformed', 1],
      [{ body: 'late' }, 'fetch.content-expired', 1],
    ]
  for (const [route, code, requests] of cases) {
    await using services = await served(route)
    const { client } = clientFor()
    const wanted = request(services, {
      read: (body) => {
        const value = fromUtf8('test', 'text', body)
        return { value, ...(value === 'late' && { expires: new Date(0) }) }
      },
    })
    await fails(client.get(wanted), code)
    assert.equal(services.requests.length, requests, code)
  }
})

test('get() ends after its time-out, at an address where nobody listens, and with the caller', async () => {
  await using services = await served({ silent: true })
  const { client } = clientFor({ timeoutMs: 30, attempts: 2 })
  await fails(client.get(request(services)), 'fetch.timeout')
  const port = new URL(services.address).port
  const closed = `http://[::1]:${port}${PATH}`
  await fails(client.get(request(services, { url: closed })), 'fetch.unreachable')
  const stop = new AbortController()
  const answer = clientFor().client.get(request(services, { signal: stop.signal }))
  stop.abort(new RangeError('enough'))
  await assert.rejects(answer, RangeError)
})

test('get() asks a host one request at a time, with its pause between', async () => {
  let under = 0
  let most = 0
  const { client, pauses } = clientFor({
    spacingMs: 300,
    fetch: async () => {
      most = Math.max(most, ++under)
      await Promise.resolve()
      under--
      return new Response('one')
    },
  })
  const get = (name: string) =>
    client.get({
      url: `https://service.test/${name}`,
      maxBytes: 10,
      freshMs: 0,
      read: () => ({ value: name }),
    })
  await Promise.all(['a', 'b', 'c'].map(get))
  assert.equal(most, 1)
  assert.deepEqual(pauses, [300, 300])
})

test('get() refuses plain HTTP to other machines and addresses with a user: a mistake of the caller', async () => {
  const { client } = clientFor()
  for (const url of ['http://example.org/', 'https://me@example.org/', 'ftp://example.org/'])
    await assert.rejects(
      client.get({ url, maxBytes: 1, freshMs: 0, read: () => ({ value: 0 }) }),
      TypeError,
    )
})

test('get() sends no credentials, follows nothing and keeps nothing of the runtime', async () => {
  let init: RequestInit = {}
  const { client } = clientFor({
    fetch: async (_, given) => {
      init = given
      return new Response('one')
    },
  })
  await client.get({
    url: 'https://service.test/',
    maxBytes: 10,
    freshMs: 0,
    read: () => ({ value: 0 }),
  })
  assert.equal(init.redirect, 'manual')
  assert.equal(init.credentials, 'omit')
  assert.equal(init.cache, 'no-store')
  assert.equal(init.referrerPolicy, 'no-referrer')
})

test('get() posts what has a body, and keeps no answer to it', async () => {
  await using services = await served(({ method, body }) => ({
    body: `${method} ${Buffer.from(body).toString()}`,
  }))
  const { client } = clientFor()
  const wanted = request(services, { body: toUtf8('question') })
  assert.equal((await client.get(wanted)).value, 'POST question')
  await client.get(wanted)
  assert.equal(services.requests.length, 2)
})

test('a cache that fails, or holds what cannot be read, is no cache', async () => {
  await using services = await served({ body: 'one' })
  const broken = {
    get: async () => {
      throw new Error('disk')
    },
    set: async () => {
      throw new Error('disk')
    },
  }
  assert.equal((await clientFor({ cache: broken }).client.get(request(services))).value, 'one')
  const cache = new MemoryFetchCache()
  const { client, clock } = clientFor({ cache })
  const url = `${services.address}${PATH}?id=secret`
  await cache.set(url, { body: Uint8Array.of(0xff), headers: {}, storedAt: clock.ms })
  assert.equal((await client.get(request(services))).from, 'network')
})

test('MemoryFetchCache forgets what was used longest ago, by number and by size', async () => {
  const answer = (bytes: number) => ({ body: new Uint8Array(bytes), headers: {}, storedAt: 0 })
  const byNumber = new MemoryFetchCache({ entries: 2 })
  for (const key of ['a', 'b']) await byNumber.set(key, answer(1))
  await byNumber.get('a')
  await byNumber.set('c', answer(1))
  assert.equal(await byNumber.get('b'), undefined)
  assert.ok(await byNumber.get('a'))
  const bySize = new MemoryFetchCache({ bytes: 10 })
  for (const key of ['a', 'b', 'c']) await bySize.set(key, answer(4))
  assert.equal(bySize.size, 2)
  await bySize.set('huge', answer(11))
  assert.equal(bySize.size, 0)
})

test('an answer that its reader refuses is not kept', async () => {
  await using services = await served({ body: 'one' })
  const cache = new MemoryFetchCache()
  const { client } = clientFor({ cache })
  const read = () => {
    throw new FormatError('test', 'all', 0, 'wrong')
  }
  await fails(client.get(request(services, { read })), 'fetch.content-malformed')
  assert.equal(cache.size, 0)
})
