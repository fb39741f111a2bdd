/**
 * What every guest has, whatever it runs: its keys, the way to the broker, what it answers to the host, how far it is, and its end.
 */
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentService, Health } from '@cloister/protocol/agent-service_pb'
import { collectGarbage } from '@cloister/protocol/collect-garbage'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import { Guest as GuestService } from '@cloister/protocol/guest_pb'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import { servePortSessions } from '@cloister/protocol/port-session'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { serveTtrpc } from '@cloister/protocol/ttrpc/server'
import type { AnyWorkload } from '@cloister/protocol/vm-workload'
import type { Attester } from './attesters/attester.ts'
import { httpExchange } from './broker/http-exchange.ts'
import { KbsClient } from './broker/kbs-client.ts'
import { connectPinned } from './broker/pinned-tls.ts'
import { RefusalReports } from './broker/refusal-reports.ts'
import { renewTokens } from './broker/renewal.ts'
import { channelCertificate } from './channel/certificate.ts'
import { channelServer } from './channel/server.ts'
import { correctClock, type Clock } from './guest/clock.ts'
import type { BoundInitdata } from './initdata-binding.ts'
import { makeGuestKey, type GuestKey } from './keys.ts'
import { HostStreams } from './net/host-streams.ts'
import { REST_PORT, restServer, type RawAttestation } from './rest/server.ts'
import { dispatch, type Log, type Methods } from './service/dispatch.ts'
import { guestMethods } from './service/guest-service.ts'
import type { GuestStatus } from './status.ts'

export interface GuestParts {
  readonly agentPort: Duplex
  readonly netPort: Duplex
  readonly attester: Attester
  readonly clock: Clock
  /** The image's build time, seconds since 1970. */
  readonly epoch: number
  /** Absent: CoCo's port on loopback. */
  readonly restPort?: number
  /** Absent: {@link LAST_QUESTIONS_MS}. */
  readonly lastQuestionsMs?: number
  readonly onStage: (stage: StageName) => void
  readonly log: Log
}

/** By then the first requests after the start are done. */
const COLLECT_AFTER_MS = 10_000
/** And compiled code that is not in use: memory that the workload could have. */
const LEFT_BY_START = { type: 'major', flavor: 'last-resort' } as const
/** After a failure the host may still ask for the request id before the VM ends. */
const LAST_QUESTIONS_MS = 3_000
const TARGET_TIMEOUT_MS = 60_000
const BROKER = 'broker'

export class Guest {
  readonly broker: KbsClient
  /** Digest of the container's image, for the status; empty until it is known, and in a VM. */
  imageDigest = ''
  readonly #parts: GuestParts
  readonly #bound: BoundInitdata<AnyWorkload>
  readonly #agentKey = makeGuestKey()
  readonly #channelKey = makeGuestKey()
  readonly #ending = new AbortController()
  readonly #failed = Promise.withResolvers<never>()
  readonly #streams: HostStreams
  readonly #reports: RefusalReports
  #stage: StageName = 'initdata'
  #errorCode: ErrorCode | '' = ''

  constructor(parts: GuestParts, bound: BoundInitdata<AnyWorkload>) {
    const { network } = bound.workload
    this.#parts = parts
    this.#bound = bound
    this.#streams = new HostStreams(parts.netPort, {
      targets: network.targets,
      onChannel: channelServer({
        key: this.#channelKey,
        certificate: () => channelCertificate(this.#channelKey, parts.epoch),
        // Whatever the workload says: resources are for what runs here, not for who comes through the host.
        ports: network.ports.filter((port) => port !== (parts.restPort ?? REST_PORT)),
      }),
    })
    this.broker = this.brokerClient(this.#agentKey)
    this.#reports = new RefusalReports(this.broker)
    this.#failed.promise.catch(() => undefined)
    // A port that is gone does not come again: nobody could reach this guest any more.
    for (const port of [parts.agentPort, parts.netPort])
      port.once('close', () => this.#failed.reject(new CloisterError('agent.port-missing')))
  }

  /** Aborted when the guest ends. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** Settles with `end`, or rejects with what ended the guest before; the guest has ended then. */
  async until(end: Promise<void>): Promise<void> {
    try {
      await Promise.race([end, this.#failed.promise])
    } finally {
      this.#ending.abort(new Error('the guest ends'))
    }
  }

  /** Answers the host, beyond evidence and status by these methods. */
  serveHost(methods: Methods): void {
    const { agentPort, attester, log } = this.#parts
    const handler = dispatch({
      policy: this.#bound.policy,
      methods: {
        ...methods,
        ...guestMethods({
          attester,
          agentKey: this.#agentKey,
          channelKey: this.#channelKey,
          initdata: this.#bound.document,
          status: () => this.#status(),
        }),
      },
      log,
      onDenied: (error) => this.#reports.tell(error, this.signal),
    })
    servePortSessions(agentPort, TTRPC_FRAMING, (channel) =>
      serveTtrpc(channel, {
        services: [AgentService, Health, GuestService],
        handler,
        onUnknown: (service, method) => log(`refused: unknown request ${service}/${method}`),
        onFailure: (error) => log(`a request failed: ${describe(error)}`),
      }),
    )
  }

  /** Answers what runs in the guest, on loopback. */
  async serveLocal(
    resources: readonly string[],
    attestation: RawAttestation | undefined,
  ): Promise<void> {
    const { attester, restPort } = this.#parts
    const server = restServer({
      tee: attester.tee,
      resources,
      getResource: (path) => this.broker.getResource(path, this.signal),
      ...(attestation !== undefined && { attestation }),
    })
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject)
    server.listen(restPort ?? REST_PORT, '127.0.0.1', () => listening.resolve())
    this.signal.addEventListener('abort', () => server.close().closeAllConnections())
    await listening.promise
  }

  brokerClient(key: GuestKey): KbsClient {
    const { document, workload } = this.#bound
    const { attester, clock, epoch } = this.#parts
    const { url, spki } = workload.broker
    const connect = async () => {
      const signal = AbortSignal.any([this.signal, AbortSignal.timeout(TARGET_TIMEOUT_MS)])
      return connectPinned(await this.openTarget(BROKER), {
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
      onAttest: () => this.reach('attest'),
    })
  }

  /** @throws CloisterError with a code for who waits for the stream */
  async openTarget(target: string): Promise<Duplex> {
    const timeout = AbortSignal.timeout(TARGET_TIMEOUT_MS)
    try {
      const stream = await this.#streams.open(target, AbortSignal.any([this.signal, timeout]))
      // HTTP has no use for one half: a connection that its server has ended must not be taken again.
      stream.allowHalfOpen = false
      return stream
    } catch (cause) {
      if (this.signal.aborted || cause instanceof CloisterError) throw cause
      const code = target === BROKER ? 'agent.broker-unreachable' : 'registry.unreachable'
      throw new CloisterError(code, { where: target, cause })
    }
  }

  /** What the guest is for runs now: from here on its token is kept current. */
  started(): void {
    const { clock, log } = this.#parts
    this.reach('started')
    setTimeout(() => collectGarbage(LEFT_BY_START), COLLECT_AFTER_MS).unref()
    void renewTokens(
      this.broker,
      () => clock.now(),
      (error) => log(`no new token: ${describe(error)}`),
      this.signal,
    )
  }

  /** The first attestation. @throws CloisterError `agent.attestation-refused`, `agent.broker-*`, `agent.report-failed` */
  async attest(): Promise<void> {
    try {
      await this.broker.attest(this.signal)
    } catch (error) {
      this.#reports.attested(false)
      throw error
    }
    this.#reports.attested(true)
    this.reach('attested')
  }

  /** Gives what `work` gives; why it failed is told to the owner before the host hears of it. */
  async telling<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work
    } catch (error) {
      await this.#reports.tell(error, this.signal)
      throw error
    }
  }

  /** A later handshake does not bring the guest back to an earlier stage. */
  reach(stage: StageName): void {
    if (STAGES[stage] <= STAGES[this.#stage]) return
    this.#stage = stage
    this.#parts.onStage(stage)
  }

  async fail(thrown: unknown): Promise<void> {
    const error = CloisterError.from(thrown)
    this.#errorCode = error.code
    this.#parts.log(describe(error))
    await sleep(this.#parts.lastQuestionsMs ?? LAST_QUESTIONS_MS)
    this.#failed.reject(error)
  }

  #status(): GuestStatus {
    return {
      stage: this.#stage,
      attestations: this.broker.attestations,
      token: this.broker.token?.token ?? '',
      imageDigest: this.imageDigest,
      errorCode: this.#errorCode,
      requestId: this.broker.requestId,
    }
  }
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
