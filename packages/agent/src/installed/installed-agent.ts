/**
 * The agent in a VM whose owner installed it: answers the host with evidence and status, attests where its owner says, and keeps the token
 * current. The VM does not depend on it: what fails is told and tried again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Duplex } from 'node:stream'
import { Health } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import type { StageName } from '@cloister/protocol/guest-names'
import { Guest } from '@cloister/protocol/guest_pb'
import { servePortSessions } from '@cloister/protocol/port-session'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { serveTtrpc } from '@cloister/protocol/ttrpc/server'
import { httpExchange } from '../broker/http-exchange.ts'
import { KbsClient } from '../broker/kbs-client.ts'
import { connectPinned } from '../broker/pinned-tls.ts'
import { renewTokens } from '../broker/renewal.ts'
import { tpmEnrolment } from '../broker/tpm-enrolment.ts'
import { channelCertificate } from '../channel/certificate.ts'
import { channelServer } from '../channel/server.ts'
import { makeGuestKey } from '../keys.ts'
import { HostStreams } from '../net/host-streams.ts'
import { vmPolicy } from '../policy/vm-policy.ts'
import { REST_PORT, restServer } from '../rest/server.ts'
import { healthMethods } from '../service/agent-service.ts'
import { dispatch } from '../service/dispatch.ts'
import { guestMethods } from '../service/guest-service.ts'
import type { Configuration } from './configuration.ts'
import type { FoundAttester } from './find-attester.ts'

export interface InstalledAgentOptions {
  readonly configuration: Configuration
  readonly found: FoundAttester
  /** Connects to a host and port, as names resolve in this VM. */
  readonly connect: (host: string, port: number) => Promise<Duplex>
  readonly log: (message: string) => void
  /** Absent: {@link RETRY_MS}. */
  readonly retryMs?: number
  /** Absent: CoCo's port on loopback. */
  readonly restPort?: number
}

const RETRY_MS = 30_000
const CONNECT_MS = 30_000
const HTTPS_PORT = 443
const DAY_SECONDS = 86_400

export class InstalledAgent implements AsyncDisposable {
  readonly #options: InstalledAgentOptions
  readonly #agentKey = makeGuestKey()
  readonly #channelKey = makeGuestKey()
  readonly #ending = new AbortController()
  readonly #broker: KbsClient | undefined
  #stage: StageName = 'agent'
  #errorCode: ErrorCode | '' = ''

  constructor(options: InstalledAgentOptions) {
    this.#options = options
    const { broker } = options.configuration
    this.#broker = broker === undefined ? undefined : this.#client(broker)
  }

  /** Answers the host on a port until the port closes. */
  serveHost(port: Duplex): void {
    const { found, log } = this.#options
    const handler = dispatch({
      policy: vmPolicy(),
      methods: {
        ...healthMethods(),
        ...guestMethods({
          attester: found.attester,
          agentKey: this.#agentKey,
          channelKey: this.#channelKey,
          // Nothing was bound to this VM at launch.
          initdata: new Uint8Array(),
          status: () => ({
            stage: this.#stage,
            attestations: this.#broker?.attestations ?? 0,
            token: this.#broker?.token?.token ?? '',
            imageDigest: '',
            errorCode: this.#errorCode,
            requestId: this.#broker?.requestId ?? '',
          }),
        }),
      },
      log: (message) => log(typeof message === 'string' ? message : message()),
    })
    servePortSessions(port, TTRPC_FRAMING, (channel) =>
      serveTtrpc(channel, {
        services: [Health, Guest],
        handler,
        onUnknown: (service, method) => log(`refused: unknown request ${service}/${method}`),
        onFailure: (error) => log(`a request failed: ${describe(error)}`),
      }),
    )
  }

  /** Takes the streams that the host opens: into the ports that the configuration names, by TLS with the channel key. It opens none itself. */
  serveStreams(port: Duplex): HostStreams {
    const yesterday = Math.floor(Date.now() / 1000) - DAY_SECONDS
    return new HostStreams(port, {
      targets: [],
      onChannel: channelServer({
        key: this.#channelKey,
        certificate: () => channelCertificate(this.#channelKey, yesterday),
        ports: this.#options.configuration.ports,
      }),
    })
  }

  /** Settles when a broker has answered with a token; at once where none is configured. */
  async attest(): Promise<void> {
    const broker = this.#broker
    const { signal } = this.#ending
    if (broker === undefined) return
    while (!(await this.#attestOnce(broker)))
      await sleep(this.#options.retryMs ?? RETRY_MS, undefined, { signal })
    void renewTokens(broker, Date.now, (error) => this.#failed(error), signal)
  }

  /** Resources for programs of this VM, where the configuration names some. */
  async serveResources(): Promise<void> {
    const broker = this.#broker
    const { configuration, found, restPort = REST_PORT } = this.#options
    if (broker === undefined || configuration.resources.length === 0) return
    const { signal } = this.#ending
    const server = restServer({
      tee: found.attester.tee,
      resources: configuration.resources,
      getResource: (path) => broker.getResource(path, signal),
    })
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject)
    server.listen(restPort, '127.0.0.1', () => listening.resolve())
    signal.addEventListener('abort', () => server.close().closeAllConnections())
    await listening.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error('the agent ends'))
  }

  async #attestOnce(broker: KbsClient): Promise<boolean> {
    try {
      await broker.attest(this.#ending.signal)
      this.#stage = 'attested'
      this.#errorCode = ''
      this.#options.log('attested')
      return true
    } catch (error) {
      this.#ending.signal.throwIfAborted()
      this.#failed(error)
      return false
    }
  }

  #failed(error: unknown): void {
    this.#errorCode = CloisterError.from(error).code
    this.#options.log(`not attested: ${describe(error)}`)
  }

  #client({ url, spki }: NonNullable<Configuration['broker']>): KbsClient {
    const { found, connect } = this.#options
    const { hostname, port } = new URL(url)
    const { attester, tpm } = found
    const exchange = httpExchange(async () =>
      connectPinned(await connect(hostname.replace(/^\[|\]$/g, ''), Number(port || HTTPS_PORT)), {
        spki,
        serverName: hostname,
        signal: AbortSignal.any([this.#ending.signal, AbortSignal.timeout(CONNECT_MS)]),
      }),
    )
    return new KbsClient({
      url,
      exchange,
      attester,
      key: this.#agentKey,
      now: Date.now,
      ...(tpm !== undefined && tpmEnrolment(tpm, Date.now)),
      onAttest: () => {
        if (this.#stage === 'agent') this.#stage = 'attest'
      },
    })
  }
}

export function describe(thrown: unknown): string {
  const error = CloisterError.from(thrown)
  const { where, received, requestId } = error.details
  return [
    `${error.code}: ${error.message}`,
    where !== undefined && `at ${where}`,
    received !== undefined && `received ${received}`,
    requestId !== undefined && `request ${requestId}`,
  ]
    .filter((part) => part !== false)
    .join('; ')
}
