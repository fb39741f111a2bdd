import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls'
import { after, before, test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import {
  AgentService,
  CreateContainerRequestSchema,
  Health,
} from '@cloister/protocol/agent-service_pb'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import { AuditListSchema } from '@cloister/protocol/broker-admin-api'
import { Guest as GuestService } from '@cloister/protocol/guest_pb'
import { isCode } from '@cloister/protocol/testing'
import { verifyReportData } from '@cloister/protocol/report-data'
import { encodeTtrpcHeader, FRAME_TYPE } from '@cloister/protocol/ttrpc/frame'
import { STATUS, TtrpcError } from '@cloister/protocol/ttrpc/status'
import { RequestSchema } from '@cloister/protocol/ttrpc/ttrpc_pb'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'
import { parseSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { parseSnpReport } from '@cloister/verifier/snp/report'
import { channelCertificate } from '@cloister/agent/channel/certificate'
import { makeGuestKey } from '@cloister/agent/keys'
import { makeWorld, SECRET, startGuest, type Guest, type World } from './guest-fixture.ts'

const {
  createSandbox,
  createContainer,
  startContainer,
  removeContainer,
  destroySandbox,
  execProcess,
  writeStdin,
  readStdout,
  signalProcess,
  waitProcess,
} = AgentService.method
const ID = { containerId: 'demo', execId: 'demo' }

let world: World
before(async () => {
  world = await makeWorld()
})
after(() => world[Symbol.asyncDispose]())

const isRefused = (code: string) => (error: unknown) =>
  error instanceof TtrpcError && error.message === code

async function startDemo(guest: Guest): Promise<void> {
  await guest.client.call(createSandbox, sandboxRequest(guest.workload))
  await guest.client.call(createContainer, containerRequest(guest.workload))
  await guest.client.call(startContainer, { containerId: 'demo' })
}

test('a guest attests once, pulls its encrypted image, gets its secret and runs', async () => {
  await using guest = await startGuest(world)
  await startDemo(guest)
  const { process, root } = guest.runtime.spec!
  assert.deepEqual(process.args, ['/program', 'default'])
  assert.deepEqual(process.user, { uid: 1000, gid: 1000, additionalGids: [2000] })
  assert.ok(process.env.includes('FROM_IMAGE=1') && process.env.includes('HOME=/home/app'))
  const { path } = root as { path: string }
  assert.equal(await readFile(`${path}/program`, 'utf8'), 'bytes of a program')
  const file = guest.sourceOf('/run/secret')
  assert.deepEqual(await readFile(file), world.secret)
  assert.equal((await stat(file)).mode & 0o777, 0o400)
  assert.equal((await stat(file)).uid, 1000)
  const status = await guest.client.call(GuestService.method.getStatus, {})
  assert.equal(status.attestations, 1)
  assert.equal(status.imageDigest, world.imageDigest)
  assert.equal(status.token.split('.').length, 3)
  guest.runtime.end(3)
  assert.equal((await guest.client.call(waitProcess, ID)).status, 3)
  assert.deepEqual(guest.stages, [
    'attest',
    'attested',
    'pull',
    'unpacked',
    'ready',
    'started',
    'exited',
  ])
  await guest.client.call(removeContainer, { containerId: 'demo' })
  await guest.client.call(destroySandbox, {})
  await guest.ended
})

test('evidence is over the nonce and both keys, with the initdata as it is measured', async () => {
  await using guest = await startGuest(world)
  const { getEvidence } = GuestService.method
  const nonce = Buffer.alloc(32, 5)
  const answer = await guest.client.call(getEvidence, { nonce })
  const evidence = parseSnpEvidenceJson(answer.evidenceJson)
  const report = parseSnpReport(evidence.report)
  const expected = verifyReportData(nonce, answer.agentKey, answer.channelKey)
  assert.deepEqual(Buffer.from(report.reportData), Buffer.from(expected))
  assert.deepEqual(Buffer.from(answer.initdata), Buffer.from(guest.document))
  for (const bytes of [0, 15, 65])
    await assert.rejects(
      guest.client.call(getEvidence, { nonce: new Uint8Array(bytes) }),
      isRefused('request.malformed'),
    )
})

test('what the initdata does not name is refused, with a code and nothing else', async () => {
  await using guest = await startGuest(world)
  const { client, workload } = guest
  const request = containerRequest(workload)
  await assert.rejects(client.call(createContainer, request), isRefused('agent.out-of-order'))
  await client.call(createSandbox, sandboxRequest(workload))
  const process = { Args: [], Env: [], Cwd: '', User: { Username: '' }, NoNewPrivileges: true }
  const OCI = {
    Version: '1.1.0',
    Process: process,
    Root: { Readonly: false },
    Hostname: workload.name,
    Annotations: { 'io.kubernetes.cri.image-name': workload.image.reference },
  }
  await Promise.all(
    [
      { ...request, containerId: 'other' },
      { ...request, OCI: { ...OCI, Process: { ...process, Args: ['/bin/sh'] } } },
      { ...request, OCI: { ...OCI, Process: { ...process, Env: ['A=1'] } } },
      { ...request, OCI: { ...OCI, Process: { ...process, User: { UID: 1 } } } },
      { ...request, OCI: { ...OCI, Process: { ...process, Terminal: true } } },
      { ...request, OCI: { ...OCI, Mounts: [{ destination: '/etc', source: '/run' }] } },
      { ...request, OCI: { ...OCI, Annotations: {} } },
      { ...request, storages: [] },
      { ...request, storages: [{ driver: 'image_guest_pull', source: 'layout.invalid/other' }] },
      { ...request, sandboxPidns: true },
      { ...request, devices: [{ type: 'blk' }] },
      { ...request, stringUser: { uid: '0' } },
      { ...request, sharedMounts: [{ name: 'x' }] },
    ].map((other) =>
      assert.rejects(
        client.call(createContainer, other as typeof request),
        isRefused('agent.request-denied'),
      ),
    ),
  )
  await client.call(createContainer, { ...request, OCI } as typeof request)
  await assert.rejects(client.call(createContainer, request), (error: unknown) => {
    return (
      isRefused('agent.id-reused')(error) && (error as TtrpcError).status === STATUS.alreadyExists
    )
  })
  await assert.rejects(
    client.call(createSandbox, sandboxRequest(workload)),
    isRefused('agent.id-reused'),
  )
  await client.call(startContainer, { containerId: 'demo' })
  await assert.rejects(
    client.call(startContainer, { containerId: 'demo' }),
    isRefused('agent.id-reused'),
  )
})

test('exec, stdin and output stay closed unless opened; signals go through', async () => {
  await using guest = await startGuest(world)
  await startDemo(guest)
  const { client } = guest
  assert.deepEqual(guest.runtime.outputs, { stdout: false, stderr: false, stdin: false })
  const exec = { ...ID, execId: 'e1', process: { Args: ['/program'] } }
  await assert.rejects(client.call(execProcess, exec), isRefused('agent.request-denied'))
  await assert.rejects(
    client.call(writeStdin, { ...ID, data: Buffer.from('x') }),
    isRefused('agent.request-denied'),
  )
  // As Kata's agent does it, so that a host that waits for the end of the output is not kept waiting.
  assert.equal((await client.call(readStdout, { ...ID, len: 10 })).data.length, 0)
  await client.call(signalProcess, { ...ID, signal: 15 })
  assert.ok(guest.runtime.calls.includes('signal demo 15'))
  for (const signal of [0, 1, 10, 19, 65])
    await assert.rejects(
      client.call(signalProcess, { ...ID, signal }),
      isRefused('agent.request-denied'),
      `signal ${signal}`,
    )
  await assert.rejects(
    client.call(waitProcess, { ...ID, execId: 'none' }),
    isRefused('agent.container-unknown'),
  )
})

test('what hostPolicy opens is open', async () => {
  const hostPolicy = { readStdout: true, exec: true, signal: false, signals: [10] }
  await using guest = await startGuest(world, { workload: { hostPolicy } })
  await startDemo(guest)
  const { client } = guest
  const reading = client.call(readStdout, { ...ID, len: 5 })
  guest.runtime.stdout.write('hello world')
  assert.equal(Buffer.from((await reading).data).toString(), 'hello')
  assert.equal(
    Buffer.from((await client.call(readStdout, { ...ID, len: 99 })).data).toString(),
    ' world',
  )
  const exec = { ...ID, execId: 'e1', process: { Args: ['/program'] } }
  await client.call(execProcess, exec)
  assert.equal((await client.call(waitProcess, { ...ID, execId: 'e1' })).status, 0)
  await assert.rejects(client.call(execProcess, exec), isRefused('agent.id-reused'))
  await assert.rejects(
    client.call(execProcess, { ...exec, execId: 'e2', stringUser: { uid: '0' } }),
    isRefused('agent.request-denied'),
  )
  await client.call(signalProcess, { ...ID, signal: 10 })
  assert.ok(guest.runtime.calls.includes('signal demo 10'))
  await assert.rejects(
    client.call(signalProcess, { ...ID, signal: 9 }),
    isRefused('agent.request-denied'),
  )
})

test('a policy in Rego narrows what the workload opens, and says why in the guest and to the owner only', async () => {
  const policy = `package agent_policy
    default ReadStreamRequest := false
    CreateSandboxRequest := true
    CreateContainerRequest := {"allowed": true, "ops": [
      {"op": "add", "path": "/pstate/container", "value": input.container_id}
    ]} { input.OCI.Hooks == null }
    StartContainerRequest { data.pstate.container == input.container_id }
    ExecProcessRequest { print("exec of", input.process.Args); input.process.Args == ["/ok"] }
    SetPolicyRequest := true
    # ${'long as those that generators write '.repeat(2_000)}`
  const hostPolicy = { readStdout: true, exec: true }
  await using guest = await startGuest(world, { workload: { hostPolicy }, policy })
  await startDemo(guest)
  const { client } = guest
  guest.runtime.stdout.write('hello')
  assert.equal((await client.call(readStdout, { ...ID, len: 10 })).data.length, 0)
  await client.call(execProcess, { ...ID, execId: 'e1', process: { Args: ['/ok'] } })
  await assert.rejects(
    client.call(execProcess, { ...ID, execId: 'e2', process: { Args: ['/bin/sh'] } }),
    isRefused('agent.request-denied'),
  )
  // Undefined denies, whatever the workload opens.
  await assert.rejects(
    client.call(signalProcess, { ...ID, signal: 15 }),
    isRefused('agent.request-denied'),
  )
  const told = await toldByGuests(guest.workload.revision)
  assert.deepEqual(
    told.map(({ code, where }) => [code, where]),
    [
      ['agent.request-denied', 'SignalProcess'],
      ['agent.request-denied', 'ExecProcess'],
    ],
  )
  assert.ok(told.every(({ received = '' }) => received !== ''))
  const console = guest.console.join('\n')
  assert.match(console, /exec of \["\/bin\/sh"\]/)
  assert.match(console, /input\.process\.Args == \["\/ok"\]/)
})

/** What guests of a revision have told the broker of their refusals, newest first. */
async function toldByGuests(revision: number) {
  const answer = await world.broker.owner('GET', '/audit?workload=demo&limit=100')
  return AuditListSchema.parse(answer)
    .entries.map(readAuditLeaf)
    .filter((entry) => entry.kind === 'guest' && entry.revision === revision)
    .flatMap(({ checks }) => checks)
}

test('why an image is refused goes to the owner; the host learns the code', async () => {
  const other = `sha256:${'1'.repeat(64)}`
  await using guest = await startGuest(world, {
    workload: {
      image: {
        reference: `layout.invalid/demo@${other}`,
        digest: other,
        registry: { target: 'registry', plainHttp: true },
      },
    },
  })
  const { client, workload } = guest
  await client.call(createSandbox, sandboxRequest(workload))
  await assert.rejects(
    client.call(createContainer, containerRequest(workload)),
    isRefused('image.not-found'),
  )
  const [told] = await toldByGuests(workload.revision)
  assert.equal(told?.code, 'image.not-found')
  assert.ok(told.where !== undefined)
})

test('a host that asks for what is denied a thousand times fills no audit', async () => {
  await using guest = await startGuest(world)
  await startDemo(guest)
  for (let index = 0; index < 1000; index++)
    await assert.rejects(
      guest.client.call(execProcess, {
        ...ID,
        execId: `e${index}`,
        process: { Args: [`/${index}`] },
      }),
      isRefused('agent.request-denied'),
    )
  assert.ok((await toldByGuests(guest.workload.revision)).length <= 8)
})

test('an unknown field or method is refused', async () => {
  await using guest = await startGuest(world)
  await guest.client.call(createSandbox, sandboxRequest(guest.workload))
  const request = toBinary(
    CreateContainerRequestSchema,
    create(CreateContainerRequestSchema, containerRequest(guest.workload)),
  )
  // Kata's stdin_port = 9, which we do not know.
  const payload = Buffer.concat([request, Buffer.from([0x48, 0x01])])
  const send = (method: string, id: number) => {
    const service = 'grpc.AgentService'
    const data = toBinary(RequestSchema, create(RequestSchema, { service, method, payload }))
    guest.agentPort.write(Buffer.concat([encodeTtrpcHeader(id, FRAME_TYPE.request, data), data]))
  }
  const answers: string[] = []
  guest.agentPort.on('data', (chunk: Buffer) => answers.push(chunk.toString('latin1')))
  send('CreateContainer', 101)
  send('SetPolicy', 103)
  while (answers.join('').split('agent.request-unknown').length < 3)
    await once(guest.agentPort, 'data')
  await guest.client.call(Health.method.check, {}).catch(() => undefined)
})

test('a host that dies in the middle of a frame is followed by one that goes on', async () => {
  await using guest = await startGuest(world)
  await startDemo(guest)
  const waiting = guest.client.call(waitProcess, ID)
  guest.agentPort.write(Buffer.from([0, 0, 4, 0, 0, 0, 0, 9, 1, 0, 1, 2, 3]))
  const next = await guest.reconnect()
  waiting.catch(() => undefined)
  guest.runtime.end(0)
  assert.equal((await next.call(waitProcess, ID)).status, 0)
})

test('a workload that nobody registered gets nothing, and the host a code and a request id', async () => {
  await using guest = await startGuest(world, { isRegistered: false })
  await guest.client.call(createSandbox, sandboxRequest(guest.workload))
  const creating = guest.client.call(createContainer, containerRequest(guest.workload))
  await assert.rejects(creating, (error: unknown) => {
    const { message } = error as TtrpcError
    return message === 'agent.resource-refused' || message === 'agent.attestation-refused'
  })
  const status = await guest.client.call(GuestService.method.getStatus, {})
  assert.match(status.requestId, /^[0-9a-f]{32}$/)
  assert.match(status.errorCode, /refused$/)
  await assert.rejects(guest.ended)
  assert.deepEqual(guest.runtime.calls, [])
})

test('a broker with another key is not spoken to', async () => {
  const key = makeGuestKey()
  const impostor = createTlsServer({
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: channelCertificate(key, 1_600_000_000),
  })
  let received = 0
  impostor.on('secureConnection', (socket) =>
    socket.on('data', (chunk) => (received += chunk.length)),
  )
  impostor.on('tlsClientError', () => undefined)
  impostor.listen(0, '127.0.0.1')
  await once(impostor, 'listening')
  const { port } = impostor.address() as { port: number }
  await using guest = await startGuest(world, { brokerPort: port })
  await assert.rejects(guest.ended, isCode('agent.broker-untrusted'))
  assert.equal(received, 0)
  impostor.close()
})

test('initdata that the hardware does not vouch for is refused', async () => {
  const other = Buffer.alloc(32, 1)
  await assert.rejects(startGuest(world, { hostData: other }), isCode('initdata.mismatch'))
  const zero = Buffer.alloc(32)
  await assert.rejects(startGuest(world, { hostData: zero }), isCode('initdata.unmeasured'))
})

test('the container reads the resources that the workload names, and no others', async () => {
  await using guest = await startGuest(world)
  await startDemo(guest)
  const base = `http://127.0.0.1:${guest.restPort}`
  const named = await fetch(`${base}/cdh/resource/${SECRET}`)
  assert.equal(named.status, 200)
  assert.deepEqual(Buffer.from(await named.arrayBuffer()), world.secret)
  const statuses = Object.fromEntries(
    await Promise.all(
      [
        '/cdh/resource/default/demo/key',
        '/cdh/resource/default/demo/%73ecret',
        '/aa/token?token_type=kbs',
        '/aa/evidence?runtime_data=x',
        '/info',
        '/other',
      ].map(async (path) => [path, (await fetch(base + path)).status] as const),
    ),
  )
  assert.deepEqual(statuses, {
    '/cdh/resource/default/demo/key': 403,
    '/cdh/resource/default/demo/%73ecret': 403,
    '/aa/token?token_type=kbs': 404,
    '/aa/evidence?runtime_data=x': 404,
    '/info': 200,
    '/other': 404,
  })
  const posted = await fetch(`${base}/cdh/resource/${SECRET}`, { method: 'POST' })
  assert.equal(posted.status, 405)
})

test('the raw attestation calls answer where the initdata opens them', async () => {
  const hostPolicy = { rawAttestationApi: true }
  await using guest = await startGuest(world, { workload: { hostPolicy } })
  await startDemo(guest)
  const base = `http://127.0.0.1:${guest.restPort}/aa`
  const token = (await (await fetch(`${base}/token?token_type=kbs`)).json()) as object
  assert.deepEqual(Object.keys(token), ['token', 'tee_keypair'])
  const { stage, attestations } = await guest.client.call(GuestService.method.getStatus, {})
  assert.deepEqual([stage, attestations], ['started', 1])
  const evidence = await (await fetch(`${base}/evidence?runtime_data=abc`)).text()
  const { reportData } = parseSnpReport(parseSnpEvidenceJson(evidence).report)
  assert.equal(Buffer.from(reportData).toString('latin1'), 'abc'.padEnd(64, '\0'))
  assert.equal((await fetch(`${base}/evidence?runtime_data=${'x'.repeat(65)}`)).status, 400)
  assert.equal((await fetch(`${base}/evidence`)).status, 400)
  assert.equal((await fetch(`${base}/evidence?runtime_data=**&encoding=base64`)).status, 400)
})

test('the channel leads to a published port over the key that is in evidence', async () => {
  const service = createServer((socket) => socket.end('from inside'))
  service.listen(0, '127.0.0.1')
  await once(service, 'listening')
  const { port } = service.address() as { port: number }
  const restPort = 17_999
  const network = { targets: ['broker', 'registry'], ports: [port, restPort] }
  await using guest = await startGuest(world, { workload: { network }, restPort })
  const { channelKey } = await guest.client.call(GuestService.method.getEvidence, {
    nonce: Buffer.alloc(16),
  })
  const join = async (line: string) => {
    const socket = tlsConnect({
      socket: await guest.mux.open('channel'),
      rejectUnauthorized: false,
      ALPNProtocols: ['cloister-connect/1'],
    })
    socket.on('error', () => undefined)
    socket.once('end', () => socket.end())
    await once(socket, 'secureConnect')
    const spki = socket.getPeerX509Certificate()!.publicKey.export({ type: 'spki', format: 'der' })
    assert.deepEqual(digest(spki), digest(channelKey))
    socket.write(line)
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await new Promise((resolve) => socket.once('close', resolve))
    return text
  }
  assert.equal(await join(`${port}\n`), 'from inside')
  assert.equal(await join(`${restPort}\n`), '', 'the resources of the container')
  assert.equal(await join('1\n'), '', 'a port that is not published')
  assert.equal(await join('not a port\n'), '')
  service.close()
})

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
