/** A guest in this process: the real agent on a fake processor, with a real broker and registry, and the test as its host. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair, PassThrough, type Duplex } from 'node:stream'
import {
  fakeManifest,
  fakePolicy,
  startTestBroker,
  type TestBroker,
} from '@cloister/broker/testing/test-broker'
import { fakeChipId, FAKE_MEASUREMENT, FAKE_TCB } from '@cloister/broker/testing/fake-guest'
import { buildImage } from '@cloister/oci/build-image'
import { encryptImage } from '@cloister/oci/encrypt-image'
import { Layout } from '@cloister/oci/layout'
import { serveLayout } from '@cloister/oci/layout-server'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import type { CloisterError } from '@cloister/protocol/error'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
} from '@cloister/protocol/initdata'
import { MuxConnection } from '@cloister/protocol/mux/connection'
import { MUX_FRAMING } from '@cloister/protocol/mux/frame'
import { openPortSession } from '@cloister/protocol/port-session'
import { TtrpcClient } from '@cloister/protocol/ttrpc/client'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { WorkloadSchema, type Workload, type WorkloadInput } from '@cloister/protocol/workload'
import { encodeCertificateTable, TABLE_GUID } from '@cloister/verifier/snp/certificate-table'
import { newSnpReport } from '@cloister/verifier/snp/report-template'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { runAgent } from '@cloister/agent/agent'
import { snpAttester, type MeasuredAttester } from '@cloister/agent/attesters/attester'
import { LogBuffer } from '@cloister/agent/container/log-buffer'
import type { OciSpec } from '@cloister/agent/container/oci-spec'
import type { Outputs, Runtime } from '@cloister/agent/container/runtime'
import { pullWorkloadImage } from '@cloister/agent/image/pull-workload'
import { bindInitdata } from '@cloister/agent/initdata-binding'

export const SECRET = 'default/demo/secret'
const IMAGE_KEY = 'default/demo/key'

/** What all guests of a test file share: a broker with an image, a key and a secret. */
export interface World extends AsyncDisposable {
  readonly broker: TestBroker
  readonly amd: FakeAmd
  readonly imageDigest: string
  readonly layoutDirectory: string
  readonly secret: Buffer
  readonly directory: string
  revision: number
}

export async function makeWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-agent-test-'))
  const amd = new FakeAmd({ names: 'simulated' })
  const broker = await startTestBroker({ simulatedRoots: [amd.fingerprint] })
  const key = randomBytes(32)
  const secret = Buffer.from(randomBytes(24).toString('base64url'))
  const layoutDirectory = join(directory, 'layout')
  const imageDigest = await makeImage(directory, layoutDirectory, key)
  await broker.owner('PUT', '/guest-images/base', {
    manifest: fakeManifest(),
    mode: 'simulated',
    anchors: 'simulated',
  })
  for (const [path, value] of [
    [SECRET, secret],
    [IMAGE_KEY, key],
  ] as const)
    await broker.owner('PUT', `/secrets/${path}`, {
      value: value.toString('base64'),
      allowSimulated: true,
      release: fakePolicy({ anchors: ['simulated'] }),
    })
  return {
    broker,
    amd,
    imageDigest,
    layoutDirectory,
    secret,
    directory,
    revision: 0,
    async [Symbol.asyncDispose]() {
      await broker[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function makeImage(directory: string, layout: string, key: Uint8Array): Promise<string> {
  const root = join(directory, 'image')
  await mkdir(join(root, 'etc'), { recursive: true })
  await writeFile(join(root, 'etc/passwd'), 'app:x:1000:1000::/home/app:/bin/sh\n')
  await writeFile(join(root, 'etc/group'), 'app:x:1000:\nextra:x:2000:app\n')
  await writeFile(join(root, 'program'), 'bytes of a program')
  const sink = await LayoutWriter.open(layout)
  const config = { Entrypoint: ['/program'], Cmd: ['default'], Env: ['FROM_IMAGE=1'], User: 'app' }
  await buildImage({ sink, tag: 'plain', layers: [{ directory: root }], config })
  const { digest } = await encryptImage({
    source: new Layout(layout),
    from: 'plain',
    sink,
    tag: 'latest',
    recipients: [{ scheme: 'broker', resource: IMAGE_KEY, key }],
  })
  return digest
}

export interface GuestOptions {
  /** Laid over the test's workload. */
  readonly workload?: Partial<WorkloadInput>
  /** Agent policy in Rego. Absent: none. */
  readonly policy?: string
  /** Whether the broker is told of the workload. Absent: yes. */
  readonly isRegistered?: boolean
  /** Absent: the digest of the initdata. */
  readonly hostData?: Uint8Array
  /** TCP port that the target `broker` leads to. Absent: the broker's. */
  readonly brokerPort?: number
  /** Absent: one of its own. */
  readonly restPort?: number
}

export interface Guest extends AsyncDisposable {
  readonly workload: Workload
  /** The exact initdata. */
  readonly document: Uint8Array
  /** The host's end of `cloister.agent`. */
  readonly agentPort: Duplex
  readonly client: TtrpcClient
  /** The host's side of the streams. */
  readonly mux: MuxConnection
  readonly stages: readonly string[]
  /** What the guest wrote to its console. */
  readonly console: readonly string[]
  readonly runtime: FakeRuntime
  readonly restPort: number
  /** Settles when the agent ended well; rejects with what ended it. */
  readonly ended: Promise<void>
  /** The file of the guest behind a bound file. */
  sourceOf(destination: string): string
  /** Opens another ttrpc session on the same port. */
  reconnect(): Promise<TtrpcClient>
}

let nextRestPort = 18_000 + (process.pid % 1000) * 16

export async function startGuest(world: World, options: GuestOptions = {}): Promise<Guest> {
  const input = workloadFor(world, options.workload)
  const workload = WorkloadSchema.parse(input)
  const document = encodeInitdata(initdataOf(input, options.policy))
  if (options.isRegistered !== false)
    await world.broker.owner('PUT', `/workloads/${workload.name}`, {
      initdata: Buffer.from(document).toString('base64'),
    })
  const directory = await mkdtemp(join(world.directory, 'guest-'))
  const attester = fakeAttester(world.amd, options.hostData ?? initdataDigest(document))
  const bound = await bindInitdata(encodeInitdataDisk(document), attester)
  const [agentPort, guestAgentPort] = duplexPair()
  const [netPort, guestNetPort] = duplexPair()
  const stages: string[] = []
  const console: string[] = []
  const runtime = new FakeRuntime()
  const restPort = options.restPort ?? nextRestPort++
  const scratchDirectory = join(directory, 'scratch')
  await mkdir(scratchDirectory)
  const ended = runAgent(
    {
      agentPort: guestAgentPort,
      netPort: guestNetPort,
      attester,
      runtime,
      clock: { now: Date.now, set: () => Promise.resolve() },
      pullImage: pullWorkloadImage,
      scratch: Promise.resolve(),
      scratchDirectory,
      runDirectory: join(directory, 'run'),
      epoch: 1_600_000_000,
      restPort,
      lastQuestionsMs: 200,
      onStage: (stage) => stages.push(stage),
      log: (message) => console.push(typeof message === 'string' ? message : message()),
    },
    { ...bound, workload },
  )
  ended.catch(() => undefined)
  const mux = await hostStreams(world, netPort, options.brokerPort)
  const client = new TtrpcClient(await openPortSession(agentPort, TTRPC_FRAMING))
  return {
    workload,
    document,
    agentPort,
    client,
    mux,
    stages,
    console,
    runtime,
    restPort,
    ended,
    sourceOf: (destination) => runtime.sourceOf(destination),
    reconnect: async () => {
      agentPort.removeAllListeners('data')
      return new TtrpcClient(await openPortSession(agentPort, TTRPC_FRAMING))
    },
    async [Symbol.asyncDispose]() {
      runtime.end(0)
      guestAgentPort.destroy()
      guestNetPort.destroy()
      mux.close()
      client.close()
      await ended.catch(() => undefined)
    },
  }
}

function workloadFor(world: World, overrides: Partial<WorkloadInput> = {}): WorkloadInput {
  const { broker, imageDigest } = world
  return {
    version: 1,
    name: 'demo',
    revision: ++world.revision,
    broker: { url: broker.broker.url, spki: [broker.broker.spki] },
    image: {
      reference: `layout.invalid/demo@${imageDigest}`,
      digest: imageDigest,
      registry: { target: 'registry', plainHttp: true },
    },
    container: {
      id: 'demo',
      secrets: [{ resource: SECRET, file: '/run/secret' }],
      resources: [SECRET],
    },
    network: { targets: ['broker', 'registry'] },
    ...overrides,
  }
}

export function fakeAttester(amd: FakeAmd, hostData: Uint8Array): MeasuredAttester {
  return snpAttester(async (reportData) => {
    const report = newSnpReport({
      processor: { family: 0x19, model: 0x11, stepping: 1 },
      tcb: FAKE_TCB,
      firmware: { major: 1, minor: 55, build: 39 },
      chipId: fakeChipId(amd.line),
      measurement: Buffer.from(FAKE_MEASUREMENT, 'hex'),
      reportData,
      hostData,
    })
    const evidence = amd.evidence(report)
    const [vcek, ask, ark] = evidence.certificates ?? []
    const certificates = encodeCertificateTable(
      [
        { guid: TABLE_GUID.vcek, data: vcek! },
        { guid: TABLE_GUID.ask, data: ask! },
        { guid: TABLE_GUID.ark, data: ark! },
      ].filter(({ data }) => data !== undefined),
    )
    return { report: evidence.report, certificates }
  })
}

export async function hostStreams(
  world: World,
  port: Duplex,
  brokerPort?: number,
): Promise<MuxConnection> {
  const registry = createServer(serveLayout(world.layoutDirectory))
  const broker = brokerPort ?? Number(new URL(world.broker.broker.url).port)
  return new MuxConnection(await openPortSession(port, MUX_FRAMING), {
    side: 'host',
    accepts: (target) => target === 'broker' || target === 'registry',
    onStream: (stream, target) => {
      stream.on('error', () => undefined)
      if (target === 'registry') {
        registry.emit('connection', stream)
        return
      }
      const socket = connect({ host: '127.0.0.1', port: broker })
      socket.on('error', () => stream.destroy())
      stream.once('close', () => socket.destroy())
      stream.pipe(socket).pipe(stream)
    },
  })
}

/** Stands in for crun: tells what it was asked to run. */
export class FakeRuntime implements Runtime {
  readonly calls: string[] = []
  spec: OciSpec | undefined
  outputs: Outputs | undefined
  readonly stdout = new PassThrough()
  readonly #exited = Promise.withResolvers<number>()

  end(code: number): void {
    this.stdout.end()
    this.stdout.destroy()
    this.#exited.resolve(code)
  }

  fail(error: CloisterError): void {
    this.#exited.reject(error)
  }

  async start(id: string, spec: OciSpec, outputs: Outputs) {
    this.calls.push(`start ${id}`)
    this.spec = spec
    this.outputs = outputs
    return {
      stdout: outputs.stdout ? new LogBuffer(this.stdout) : undefined,
      stderr: undefined,
      stdin: undefined,
      exited: this.#exited.promise,
    }
  }

  async exec(id: string, execId: string) {
    this.calls.push(`exec ${id} ${execId}`)
    return { stdout: undefined, stderr: undefined, stdin: undefined, exited: Promise.resolve(0) }
  }

  async signal(id: string, signal: number) {
    this.calls.push(`signal ${id} ${signal}`)
  }

  async signalExec(id: string, execId: string, signal: number) {
    this.calls.push(`signal ${id}/${execId} ${signal}`)
  }

  async remove(id: string) {
    this.calls.push(`remove ${id}`)
  }

  sourceOf(destination: string): string {
    const mounts = this.spec?.['mounts'] as { source: string; destination: string }[]
    return mounts.find((mount) => mount.destination === destination)?.source ?? ''
  }
}
