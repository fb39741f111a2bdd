import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { encryptJwe } from '@cloister/protocol/jwe'
import { kbsError } from '@cloister/protocol/kbs'
import { isCode } from '@cloister/protocol/testing'
import { makeGuestKey, teePublicKey } from '../keys.ts'
import type { HttpAnswer, HttpRequest } from './http-exchange.ts'
import { KbsClient } from './kbs-client.ts'

const NOW = 1_800_000_000_000
const never = new AbortController().signal
const REQUEST_ID = 'ab'.repeat(16)

interface Behaviour {
  readonly token?: string
  readonly challenge?: unknown
  readonly cookie?: string
  readonly attest?: HttpAnswer
  /** How many requests are left without an answer. */
  readonly silent?: number
  readonly resource?: (attempt: number, request: HttpRequest) => HttpAnswer
}

function answer(status: number, body: unknown, headers: HttpAnswer['headers'] = {}): HttpAnswer {
  return { status, headers, body: Buffer.from(JSON.stringify(body)) }
}

function jwt(expiresInSeconds: number, padding = ''): string {
  const claims = { exp: NOW / 1000 + expiresInSeconds, padding }
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`
}

/** A client of a broker that is a function, and what it was asked. */
function clientOf(behaviour: Behaviour = {}) {
  const key = makeGuestKey()
  const requests: HttpRequest[] = []
  let resources = 0
  let now = NOW
  const client = new KbsClient({
    url: 'https://broker.example:8443/prefix/',
    key,
    initdata: 'version = "0.1.0"',
    now: () => now,
    attester: {
      tee: 'snp',
      attest: async () => ({ hostData: new Uint8Array(32), json: '{"attestation_report":{}}' }),
    },
    answerMs: 100,
    exchange: async (request) => {
      requests.push(request)
      if (requests.length <= (behaviour.silent ?? 0)) {
        await once(request.signal, 'abort')
        throw request.signal.reason
      }
      if (request.path.endsWith('/auth'))
        return answer(200, behaviour.challenge ?? { nonce: 'n', 'extra-params': '' }, {
          'set-cookie': [behaviour.cookie ?? 'kbs-session-id=1; Path=/'],
        })
      if (request.path.endsWith('/attest'))
        return behaviour.attest ?? answer(200, { token: behaviour.token ?? jwt(300) })
      const resource = behaviour.resource?.(++resources, request)
      return resource ?? answer(200, encryptJwe(Buffer.from('value'), teePublicKey(key)))
    },
  })
  return {
    client,
    requests,
    pass: (ms: number) => {
      now += ms
    },
  }
}

test('one handshake serves all resources, asked at once or later', async () => {
  const { client, requests } = clientOf()
  const values = await Promise.all(
    ['a/b/c', 'a/b/d'].map((path) => client.getResource(path, never)),
  )
  assert.deepEqual(values.map(String), ['value', 'value'])
  await client.getResource('a/b/e', never)
  assert.equal(client.attestations, 1)
  assert.deepEqual(
    requests.map(({ method, path }) => `${method} ${path}`),
    [
      'POST /prefix/kbs/v0/auth',
      'POST /prefix/kbs/v0/attest',
      'GET /prefix/kbs/v0/resource/a/b/c',
      'GET /prefix/kbs/v0/resource/a/b/d',
      'GET /prefix/kbs/v0/resource/a/b/e',
    ],
  )
  assert.equal(requests[1]!.headers['cookie'], 'kbs-session-id=1')
  assert.match(requests[2]!.headers['authorization'] ?? '', /^Bearer e30\./)
})

test('a token that is too long for a header stays at home: the session speaks for it', async () => {
  const { client, requests } = clientOf({ token: jwt(300, 'x'.repeat(40_000)) })
  await client.getResource('a/b/c', never)
  const { cookie, authorization } = requests[2]!.headers
  assert.deepEqual([cookie, authorization], ['kbs-session-id=1', undefined])
})

test('a token that has ended is made anew', async () => {
  const { client, pass } = clientOf()
  await client.attest(never)
  pass(280_000)
  await client.attest(never)
  assert.equal(client.attestations, 1)
  pass(15_000)
  await client.attest(never)
  assert.equal(client.attestations, 2)
})

test('a broker that does not know its token any more gets new evidence, once', async () => {
  const refused = answer(401, kbsError('TokenVerifierError', 'x', 'kbs.token', REQUEST_ID))
  const { client } = clientOf({
    resource: (attempt) =>
      attempt === 1 ? refused : answer(401, { detail: 'x', type: 'y/PolicyDeny' }),
  })
  await assert.rejects(client.getResource('a/b/c', never), isCode('agent.resource-refused'))
  assert.equal(client.attestations, 2)
})

test('refusals have a code and the request id', async () => {
  const refused = answer(401, kbsError('AttestationError', 'x', 'attestation.refused', REQUEST_ID))
  const { client } = clientOf({ attest: refused })
  await assert.rejects(client.attest(never), isCode('agent.attestation-refused'))
  assert.equal(client.requestId, REQUEST_ID)
})

test('answers that are not the protocol’s are told apart from refusals', async () => {
  for (const behaviour of [
    { challenge: {} },
    { cookie: 'other=1' },
    { challenge: { nonce: 'n', 'extra-params': { 'selected-hash-algorithm': 'md5' } } },
    { token: 'not a token' },
    { attest: answer(200, {}) },
  ])
    await assert.rejects(clientOf(behaviour).client.attest(never), isCode('agent.broker-malformed'))
})

test('a resource for another key does not open, and a path is checked before it is asked', async () => {
  const other = encryptJwe(Buffer.from('x'), teePublicKey(makeGuestKey()))
  const { client, requests } = clientOf({ resource: () => answer(200, other) })
  await assert.rejects(client.getResource('a/b/c', never), isCode('jwe.malformed'))
  const before = requests.length
  for (const path of ['../x/y', 'a/b', 'a/b/c/d', 'a/b/c?x', ''])
    await assert.rejects(client.getResource(path, never), isCode('agent.resource-refused'))
  assert.equal(requests.length, before)
})

test('a broker that leaves a request without an answer is asked again', async () => {
  const { client, requests } = clientOf({ silent: 1 })
  await client.attest(never)
  assert.equal(requests.filter(({ path }) => path.endsWith('/auth')).length, 2)
})

test('a broker that never answers is given up after the third silence, long before ten tries', async () => {
  const { client, requests } = clientOf({ silent: Infinity })
  await assert.rejects(client.attest(never), isCode('agent.broker-unreachable'))
  assert.equal(requests.length, 3)
})
