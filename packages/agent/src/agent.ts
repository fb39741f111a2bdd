/**
 * The life of a guest after its initdata was found to be the measured one: attest once, pull, make scratch space, serve the host, run
 * the container. Everything that touches the machine comes in as a value.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentService, Health } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import { Guest } from '@cloister/protocol/guest_pb'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import { servePortSessions } from '@cloister/protocol/port-session'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { serveTtrpc } from '@cloister/protocol/ttrpc/server'
import type { Attester } from './attesters/attester.ts'
import { httpExchange } from './broker/http-exchange.ts'
import { KbsClient } from './broker/kbs-client.ts'
import { connectPinned } from './broker/pinned-tls.ts'
import { renewTokens } from './broker/renewal.ts'
import { channelCertificate } from './channel/certificate.ts'
import { channelServer } from './channel/server.ts'
import { Container } from './container/container.ts'
import { readUserFiles } from './container/image-files.ts'
import { containerSpec, type BoundFile, type OciSpec } from './container/oci-spec.ts'
import type { Runtime } from './container/runtime.ts'
import { placeSecrets, releaseSecrets, type ReleasedSecret } from './container/secrets.ts'
import { resolveUser } from './container/user.ts'
import { correctClock, type Clock } from './guest/clock.ts'
import type { PulledImage, PullImage } from './image/pull.ts'
import type { BoundInitdata } from './initdata-binding.ts'
import { makeGuestKey } from './keys.ts'
import { HostStreams } from './net/host-streams.ts'
import { REST_PORT, restServer, type RawAttestation } from './rest/server.ts'
import { agentMethods } from './service/agent-service.ts'
import { dispatch, type Log } from './service/dispatch.ts'
import { guestMethods } from './service/guest-service.ts'
import type { GuestStatus } from './status.ts'

export interface Machine {
  readonly agentPort: Duplex
  readonly netPort: Duplex
  readonly attester: Attester
  readonly runtime: Runtime
  readonly clock: Clock
  readonly pullImage: PullImage
  /** Settles when the scratch space is mounted. */
  readonly scratch: Promise<void>
  /** Where it is mounted. */
  readonly scratchDirectory: string
  /** On tmpfs, for files that are bound into the container. */
  readonly runDirectory: string
  /** The image's build time, seconds since 1970. */
  readonly epoch: number
  /** Absent: CoCo's port on loopback. */
  readonly restPort?: number
  /** Absent: {@link LAST_QUESTIONS_MS}. */
  readonly lastQuestionsMs?: number
  readonly onStage: (stage: StageName) => void
  readonly log: Log
}

/** After a failure the host may still ask for the request id before the VM ends. */
const LAST_QUESTIONS_MS = 3_000
const TARGET_TIMEOUT_MS = 60_000
const BROKER = 'broker'

/**
 * Runs until the host destroys the sandbox.
 *
 * @throws CloisterError what ended it; the VM must end too
 */
export async function runAgent(machine: Machine, bound: BoundInitdata): Promise<void> {
  const agent = new GuestAgent(machine, bound)
  await agent.run()
}

class GuestAgent {
  readonly #machine: Machine
  readonly #bound: BoundInitdata
  readonly #agentKey = makeGuestKey()
  readonly #channelKey = makeGuestKey()
  readonly #ending = new AbortController()
  readonly #destroyed = Promise.withResolvers<void>()
  readonly #failed = Promise.withResolvers<never>()
  readonly #streams: HostStreams
  readonly #broker: KbsClient
  #stage: StageName = 'initdata'
  #imageDigest = ''
  #errorCode: ErrorCode | '' = ''

  constructor(machine: Machine, bound: BoundInitdata) {
    const { network } = bound.workload
    this.#machine = machine
    this.#bound = bound
    this.#streams = new HostStreams(machine.netPort, {
      targets: network.targets,
      onChannel: channelServer({
        key: this.#channelKey,
        certificate: channelCertificate(this.#channelKey, machine.epoch),
        // Whatever the workload says: resources are for the container, not for who comes through the host.
        ports: network.ports.filter((port) => port !== (machine.restPort ?? REST_PORT)),
      }),
    })
    this.#broker = this.#brokerClient(this.#agentKey)
    this.#failed.promise.catch(() => undefined)
    // A port that is gone does not come again: nobody could reach this guest any more.
    for (const port of [machine.agentPort, machine.netPort])
      port.once('close', () => this.#failed.reject(new CloisterError('agent.port-missing')))
  }

  async run(): Promise<void> {
    const prepared = this.#prepare()
    prepared.catch((error: unknown) => void this.#fail(error))
    const container = new Container({
      workload: this.#bound.workload,
      runtime: this.#machine.runtime,
      prepared,
      onStarted: () => this.#onStarted(),
      onExited: () => this.#reach('exited'),
    })
    this.#serveHost(container)
    await this.#serveContainer()
    try {
      await Promise.race([this.#destroyed.promise, this.#failed.promise])
    } finally {
      this.#ending.abort(new Error('the guest ends'))
    }
  }

  /** Attestation, scratch space, image, secrets: what can go on at once does. */
  async #prepare(): Promise<OciSpec> {
    const { workload } = this.#bound
    const { scratch, scratchDirectory, pullImage } = this.#machine
    const { signal } = this.#ending
    await this.#broker.attest(signal)
    this.#reach('attested')
    await scratch
    this.#reach('pull')
    const rootfs = join(scratchDirectory, 'rootfs')
    const getResource = (path: string) => this.#broker.getResource(path, signal)
    const [image, secrets] = await Promise.all([
      pullImage({
        workload,
        directory: rootfs,
        openTarget: (target) => this.#openTarget(target),
        getResource,
        signal,
      }),
      releaseSecrets(workload.container.secrets, getResource),
    ])
    this.#imageDigest = image.digest
    this.#reach('unpacked')
    const spec = await this.#specOf(image, rootfs, secrets)
    this.#reach('ready')
    return spec
  }

  async #specOf(
    image: PulledImage,
    rootfs: string,
    secrets: readonly ReleasedSecret[],
  ): Promise<OciSpec> {
    const { container, name, network } = this.#bound.workload
    const { runDirectory } = this.#machine
    const user = resolveUser(
      container.user ?? image.config.config?.User ?? '',
      await readUserFiles(rootfs),
    )
    const placed = await placeSecrets(secrets, user, join(runDirectory, 'secrets'))
    const names = await nameFiles(join(runDirectory, 'names'), name, network.egress)
    return containerSpec({
      workload: this.#bound.workload,
      image: image.config,
      user,
      rootfs,
      secretEnv: placed.env,
      files: [...names, ...placed.files],
    })
  }

  #serveHost(container: Container): void {
    const { agentPort, attester, log } = this.#machine
    const handler = dispatch({
      policy: this.#bound.policy,
      methods: {
        ...agentMethods({ container, onDestroy: () => this.#destroyed.resolve() }),
        ...guestMethods({
          attester,
          agentKey: this.#agentKey,
          channelKey: this.#channelKey,
          initdata: this.#bound.document,
          status: () => this.#status(),
        }),
      },
      log,
    })
    servePortSessions(agentPort, TTRPC_FRAMING, (channel) =>
      serveTtrpc(channel, {
        services: [AgentService, Health, Guest],
        handler,
        onUnknown: (service, method) => log(`refused: unknown request ${service}/${method}`),
        onFailure: (error) => log(`a request failed: ${describe(error)}`),
      }),
    )
  }

  async #serveContainer(): Promise<void> {
    const { attester, restPort } = this.#machine
    const { container, hostPolicy } = this.#bound.workload
    const server = restServer({
      tee: attester.tee,
      resources: container.resources,
      getResource: (path) => this.#broker.getResource(path, this.#ending.signal),
      ...(hostPolicy.rawAttestationApi && { attestation: this.#rawAttestation() }),
    })
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject)
    server.listen(restPort ?? REST_PORT, '127.0.0.1', () => listening.resolve())
    this.#ending.signal.addEventListener('abort', () => server.close().closeAllConnections())
    await listening.promise
  }

  /** What the initdata opened: the container may speak as this guest, with keys of its own. */
  #rawAttestation(): RawAttestation {
    return {
      evidence: async (runtimeData) => {
        const reportData = new Uint8Array(64)
        reportData.set(runtimeData)
        return (await this.#machine.attester.attest(reportData)).json
      },
      token: async () => {
        const key = makeGuestKey()
        const { token } = await this.#brokerClient(key).attest(this.#ending.signal)
        const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' })
        return JSON.stringify({ token, tee_keypair: pem })
      },
    }
  }

  #brokerClient(key: ReturnType<typeof makeGuestKey>): KbsClient {
    const { document, workload } = this.#bound
    const { attester, clock, epoch } = this.#machine
    const { url, spki } = workload.broker
    const connect = async () => {
      const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(TARGET_TIMEOUT_MS)])
      return connectPinned(await this.#openTarget(BROKER), {
        spki,
        serverName: new URL(url).hostname,
        signal,
      })
    }
    return new KbsClient({
      url,
      exchange: httpExchange(connect),
      attester,
      key,
      initdata: Buffer.from(document).toString('utf8'),
      now: () => clock.now(),
      onDate: (date) => correctClock(clock, date, epoch),
      onAttest: () => this.#reach('attest'),
    })
  }

  /** @throws CloisterError with a code for who waits for the stream */
  async #openTarget(target: string): Promise<Duplex> {
    const timeout = AbortSignal.timeout(TARGET_TIMEOUT_MS)
    try {
      const stream = await this.#streams.open(
        target,
        AbortSignal.any([this.#ending.signal, timeout]),
      )
      // HTTP has no use for one half: a connection that its server has ended must not be taken again.
      stream.allowHalfOpen = false
      return stream
    } catch (cause) {
      if (this.#ending.signal.aborted || cause instanceof CloisterError) throw cause
      const code = target === BROKER ? 'agent.broker-unreachable' : 'registry.unreachable'
      throw new CloisterError(code, { where: target, cause })
    }
  }

  #onStarted(): void {
    const { clock, log } = this.#machine
    this.#reach('started')
    void renewTokens(
      this.#broker,
      () => clock.now(),
      (error) => log(`no new token: ${describe(error)}`),
      this.#ending.signal,
    )
  }

  /** A later handshake does not bring the guest back to an earlier stage. */
  #reach(stage: StageName): void {
    if (STAGES[stage] <= STAGES[this.#stage]) return
    this.#stage = stage
    this.#machine.onStage(stage)
  }

  async #fail(thrown: unknown): Promise<void> {
    const error = CloisterError.from(thrown)
    this.#errorCode = error.code
    this.#machine.log(describe(error))
    await sleep(this.#machine.lastQuestionsMs ?? LAST_QUESTIONS_MS)
    this.#failed.reject(error)
  }

  #status(): GuestStatus {
    return {
      stage: this.#stage,
      attestations: this.#broker.attestations,
      token: this.#broker.token?.token ?? '',
      imageDigest: this.#imageDigest,
      errorCode: this.#errorCode,
      requestId: this.#broker.requestId,
    }
  }
}

/** The files by which a container knows its own name and who resolves others. */
async function nameFiles(
  directory: string,
  name: string,
  egress: 'none' | 'user',
): Promise<BoundFile[]> {
  const texts = {
    hostname: `${name}\n`,
    hosts: `127.0.0.1 localhost\n::1 localhost\n127.0.1.1 ${name}\n`,
    'resolv.conf': egress === 'user' ? 'nameserver 10.0.2.3\n' : '',
  }
  await mkdir(directory, { recursive: true, mode: 0o755 })
  const files: BoundFile[] = []
  for (const [file, text] of Object.entries(texts)) {
    await writeFile(join(directory, file), text, { mode: 0o644 })
    files.push({ source: join(directory, file), destination: `/etc/${file}` })
  }
  return files
}

function describe(thrown: unknown): string {
  const error = CloisterError.from(thrown)
  const { where, expected, received, cause } = error.details
  return [
    error.code,
    error.message,
    where,
    expected !== undefined && `expected ${expected}`,
    received !== undefined && `received ${received}`,
    cause instanceof Error && (cause.stack ?? cause.message),
  ]
    .filter((part) => typeof part === 'string')
    .join('; ')
}
