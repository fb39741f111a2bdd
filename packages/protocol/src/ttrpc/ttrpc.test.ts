import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import {
  AgentService,
  CreateContainerRequestSchema,
  WaitProcessResponseSchema,
} from '../agent-service_pb.ts'
import { CloisterError } from '../error.ts'
import { frameChannel } from '../port-session.ts'
import { streamPair } from '../testing.ts'
import { TtrpcClient } from './client.ts'
import { encodeTtrpcHeader, TTRPC_FRAMING, parseTtrpcFrame } from './frame.ts'
import { serveTtrpc, type TtrpcHandler } from './server.ts'
import { STATUS, TtrpcError } from './status.ts'
import { RequestSchema, ResponseSchema } from './ttrpc_pb.ts'
import { findUnknownFields } from './unknown-fields.ts'

function pair(handler: TtrpcHandler, maxCalls?: number) {
  const [near, far] = streamPair()
  const failures: unknown[] = []
  serveTtrpc(frameChannel(far, TTRPC_FRAMING), {
    services: [AgentService],
    handler,
    onFailure: (error) => failures.push(error),
    ...(maxCalls !== undefined && { maxCalls }),
  })
  return { client: new TtrpcClient(frameChannel(near, TTRPC_FRAMING)), near, far, failures }
}

const wait = AgentService.method.waitProcess
const isStatus = (status: number, message?: string) => (error: unknown) =>
  error instanceof TtrpcError &&
  error.status === status &&
  (message === undefined || error.message === message)

test('a header is as ttrpc has it', () => {
  assert.deepEqual(
    encodeTtrpcHeader(3, 1, new Uint8Array(258)),
    Uint8Array.of(0, 0, 1, 2, 0, 0, 0, 3, 1, 0),
  )
})

test('calls run at once and are answered in any order', async () => {
  const gates = new Map<string, PromiseWithResolvers<void>>()
  const { client } = pair(async ({ request }) => {
    const { containerId } = request as unknown as { containerId: string }
    const gate = Promise.withResolvers<void>()
    gates.set(containerId, gate)
    await gate.promise
    return create(WaitProcessResponseSchema, { status: containerId.length })
  })
  const first = client.call(wait, { containerId: 'a' })
  const second = client.call(wait, { containerId: 'bb' })
  while (gates.size < 2) await new Promise(setImmediate)
  gates.get('bb')!.resolve()
  assert.equal((await second).status, 2)
  gates.get('a')!.resolve()
  assert.equal((await first).status, 1)
})

test('errors cross as code only, and a bug as internal.bug', async () => {
  const answers = [
    new CloisterError('agent.request-denied', { why: 'secret reasons' }),
    new Error('secret path'),
  ]
  const { client, failures } = pair(() => Promise.reject(answers.shift()!))
  await assert.rejects(
    client.call(wait, {}),
    isStatus(STATUS.permissionDenied, 'agent.request-denied'),
  )
  await assert.rejects(client.call(wait, {}), isStatus(STATUS.internal, 'internal.bug'))
  assert.equal(failures.length, 1)
})

test('an unknown service or method, a malformed request and a malformed frame are refused', async () => {
  const [near, far] = streamPair()
  const unknown: string[] = []
  serveTtrpc(frameChannel(far, TTRPC_FRAMING), {
    services: [AgentService],
    handler: () => Promise.reject(new Error('must not be reached')),
    onUnknown: (service, method) => unknown.push(`${service}/${method}`),
  })
  const channel = frameChannel(near, TTRPC_FRAMING)
  let answered: (frame: Uint8Array) => void = () => undefined
  channel.start({ frame: (bytes) => answered(bytes), closed: () => undefined })
  const ask = async (streamId: number, type: number, data: Uint8Array) => {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>()
    answered = resolve
    channel.send(encodeTtrpcHeader(streamId, type, data), data)
    const frame = parseTtrpcFrame(await promise)
    assert.equal(frame.streamId, streamId)
    return fromBinary(ResponseSchema, frame.data).status
  }
  const request = (service: string, method: string, payload = new Uint8Array()) =>
    toBinary(RequestSchema, create(RequestSchema, { service, method, payload }))
  assert.equal((await ask(1, 1, request('grpc.AgentService', 'AddSwap')))?.code, 12)
  assert.equal(
    (await ask(3, 1, request('other.Service', 'WaitProcess')))?.message,
    'agent.request-unknown',
  )
  assert.deepEqual(unknown, ['grpc.AgentService/AddSwap', 'other.Service/WaitProcess'])
  assert.equal((await ask(5, 1, Uint8Array.of(0xff)))?.code, STATUS.invalidArgument)
  const malformed = request('grpc.AgentService', 'WaitProcess', Uint8Array.of(0x0a, 0x7f))
  assert.equal((await ask(7, 1, malformed))?.code, STATUS.invalidArgument)
  assert.equal((await ask(8, 1, request('', '')))?.code, STATUS.invalidArgument, 'even id')
  assert.equal((await ask(5, 1, request('', '')))?.code, STATUS.invalidArgument, 'used id')
  assert.equal((await ask(9, 3, new Uint8Array()))?.code, STATUS.unimplemented, 'data frame')
})

test('one call more than maxCalls is refused', async () => {
  const { client } = pair(() => Promise.withResolvers<never>().promise, 1)
  const hanging = client.call(wait, {})
  await assert.rejects(client.call(wait, {}), isStatus(STATUS.resourceExhausted))
  client.close()
  await assert.rejects(hanging, isStatus(STATUS.unavailable))
})

test('a deadline ends a call at the server; the client ends its own', async () => {
  let reason: unknown
  const { client } = pair(async ({ signal }) => {
    await once(signal, 'abort')
    reason = signal.reason
    throw signal.reason as Error
  })
  await assert.rejects(client.call(wait, {}, { timeoutMs: 20 }), isStatus(STATUS.deadlineExceeded))
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.ok(isStatus(STATUS.deadlineExceeded)(reason))
})

test('closing aborts what the server still does, and fails what the client awaits', async () => {
  const aborted = Promise.withResolvers<void>()
  const { client, far } = pair(async ({ signal }) => {
    signal.addEventListener('abort', () => aborted.resolve())
    return Promise.withResolvers<never>().promise
  })
  const call = client.call(wait, {})
  await new Promise((resolve) => setTimeout(resolve, 5))
  far.destroy()
  await assert.rejects(call, isStatus(STATUS.unavailable))
  await aborted.promise
  await client.closed
  await assert.rejects(client.call(wait, {}), isStatus(STATUS.unavailable))
})

test('random frames and bytes break nothing but their own session', async () => {
  const frame = fc
    .tuple(fc.nat(12), fc.nat(4), fc.nat(2), fc.uint8Array({ maxLength: 60 }))
    .map(([id, type, flags, data]) => {
      const header = encodeTtrpcHeader(id, type, data)
      header[9] = flags
      return Buffer.concat([header, data])
    })
  const bytes = fc.uint8Array({ maxLength: 60 }).map((data) => Buffer.from(data))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(frame, bytes), { maxLength: 12 }), async (pieces) => {
      const [near, far] = streamPair()
      const failures: unknown[] = []
      serveTtrpc(frameChannel(far, TTRPC_FRAMING), {
        services: [AgentService],
        handler: async () => create(WaitProcessResponseSchema),
        onFailure: (error) => failures.push(error),
      })
      near.resume()
      for (const piece of pieces) near.write(piece)
      await new Promise(setImmediate)
      far.destroy()
      assert.deepEqual(failures, [])
    }),
    { numRuns: 200 },
  )
})

test('findUnknownFields() finds a foreign field at any depth', () => {
  const known = create(CreateContainerRequestSchema, {
    storages: [{ driver: 'a' }, { driver: 'b' }],
    OCI: { Process: { User: { UID: 1 } }, Annotations: { a: 'b' } },
  })
  assert.equal(findUnknownFields(CreateContainerRequestSchema, known), undefined)
  // Kata's stdin_port = 9; Storage.shared = 8; Spec.Hooks = 6.
  const encoded = toBinary(CreateContainerRequestSchema, known)
  const outer = fromBinary(
    CreateContainerRequestSchema,
    Buffer.concat([encoded, Buffer.from([0x48, 0x01])]),
  )
  assert.equal(findUnknownFields(CreateContainerRequestSchema, outer), 'CreateContainerRequest.#9')
  const storage = fromBinary(CreateContainerRequestSchema, Uint8Array.of(0x2a, 0x02, 0x40, 0x01))
  assert.equal(
    findUnknownFields(CreateContainerRequestSchema, storage),
    'CreateContainerRequest.storages[0].#8',
  )
  const hooks = fromBinary(CreateContainerRequestSchema, Uint8Array.of(0x32, 0x02, 0x32, 0x00))
  assert.equal(
    findUnknownFields(CreateContainerRequestSchema, hooks),
    'CreateContainerRequest.OCI.#6',
  )
})
