/**
 * Keeps AMD's revocation lists and Intel's collateral in date by asking them on a schedule, where the owner wants that. It only adds what the vendor signed
 * and what is in date; whether it is demanded, and in date, is judged at each attestation as if the owner had brought it. When a vendor cannot
 * be asked, what there is runs out and attestation under its anchors is undecided: nothing is released. Intel is asked for the kinds of platforms
 * that the owner gave collateral for: no Attester can make the broker ask.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  fetchAmdRevocationList,
  type KdsKind,
  type KdsOptions,
} from '@cloister/verifier/fetch/amd-kds'
import { makeBundle } from '@cloister/verifier/endorsements/bundle'
import { endorsementItems } from '@cloister/verifier/endorsements/bundle-item'
import { EndorsementClient, type FetchFunction } from '@cloister/verifier/fetch/endorsement-client'
import { CloisterError } from '@cloister/protocol/error'
import { EndorsementFetchError } from '@cloister/verifier/fetch/fetch-error'
import { fetchPlatformCollateral, type PcsOptions } from '@cloister/verifier/fetch/intel-pcs'
import { PRODUCT_LINES, type ProductLine } from '@cloister/verifier/snp/product'
import { recordAction } from '../admin/record-action.ts'
import type { BrokerParts } from '../parts.ts'
import { newRequestId } from '../request-id.ts'
import type { IntelCollateral } from '../storage/trust-settings.ts'
import { isNewer, rolledBack } from './collateral-order.ts'

export interface ListRefreshOptions {
  /** Milliseconds between two rounds; 12 hours when absent. A list that could not be had is asked for again after 15 minutes, then 30, 60 and 120. */
  readonly everyMs?: number
  readonly lines?: readonly ProductLine[]
  /** Absent: AMD's service. */
  readonly address?: KdsOptions['address']
  /** Absent: AMD's own; another is for tests. */
  readonly roots?: KdsOptions['roots']
  /** Of Intel's service or a cache of it, and its root; absent: Intel's. */
  readonly intel?: Pick<PcsOptions, 'address' | 'rootListAddress' | 'root'>
  /** Absent: the runtime's. */
  readonly fetch?: FetchFunction
}

/** What the owner sees of it in the broker's status. */
export interface ListRefreshState {
  /** Milliseconds since 1970; null before the first round ended. */
  readonly roundAt: number | null
  /** `<line> <kind>: <code>` of what could not be fetched in that round. */
  readonly problems: readonly string[]
}

const DEFAULT_EVERY_MS = 12 * 3_600_000
const AFTER_FAILURE_MS = 15 * 60_000
/** However often a list could not be had. */
const MAX_AFTER_FAILURE_MS = 2 * 3_600_000
const MIN_PAUSE_MS = 20
const KINDS: readonly KdsKind[] = ['vcek', 'vlek']

interface WatchedList {
  /** As in the status. */
  readonly name: string
  /** @returns the code of the failure, undefined when what there is is as new as can be */
  readonly refresh: () => Promise<string | undefined>
}

interface Turn {
  /** Milliseconds since 1970. */
  readonly nextAt: number
  /** In a row. */
  readonly failures: number
  readonly code: string | undefined
}

/** Twice as long after each failure. */
function backOffMs(failures: number): number {
  return Math.min(AFTER_FAILURE_MS * 2 ** (failures - 1), MAX_AFTER_FAILURE_MS)
}

type Parts = Pick<BrokerParts, 'trust' | 'audit' | 'now' | 'onBug'>

export class ListRefresher implements AsyncDisposable {
  readonly #parts: Parts
  readonly #options: ListRefreshOptions
  readonly #client: EndorsementClient
  readonly #stop = new AbortController()
  readonly #turns = new Map<string, Turn>()
  #state: ListRefreshState = { roundAt: null, problems: [] }
  #running: Promise<void> | undefined

  constructor(parts: Parts, options: ListRefreshOptions) {
    this.#parts = parts
    this.#options = options
    this.#client = new EndorsementClient({
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      now: parts.now,
    })
  }

  get state(): ListRefreshState {
    return this.#state
  }

  /** A round now and then on; never rejects. */
  start(): void {
    this.#running ??= this.#keepGoing()
  }

  /** One round over what is due. Each list has its own turn: a failure of one, whatever it is, neither keeps the others nor makes them wait. */
  async refresh(): Promise<ListRefreshState> {
    const lists = this.#lists()
    const { signal } = this.#stop
    for (const list of lists) if (this.#isDue(list) && !signal.aborted) await this.#take(list)
    const problems = lists.flatMap(({ name }) => {
      const code = this.#turns.get(name)?.code
      return code === undefined ? [] : [`${name}: ${code}`]
    })
    this.#state = { roundAt: this.#parts.now(), problems }
    return this.#state
  }

  #lists(): readonly WatchedList[] {
    const { lines = PRODUCT_LINES } = this.#options
    return [
      ...lines.flatMap((line) =>
        KINDS.map((kind) => ({
          name: `${line} ${kind}`,
          refresh: () => this.#refreshList(line, kind),
        })),
      ),
      ...this.#parts.trust.intelBundles().map((known) => ({
        name: `TDX ${known.fmspc} ${known.ca}`,
        refresh: () => this.#refreshCollateral(known),
      })),
    ]
  }

  #isDue({ name }: WatchedList): boolean {
    return (this.#turns.get(name)?.nextAt ?? 0) <= this.#parts.now()
  }

  async #take({ name, refresh }: WatchedList): Promise<void> {
    const { everyMs = DEFAULT_EVERY_MS } = this.#options
    const code = await refresh().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#parts.onBug(error)
      return CloisterError.from(error).code
    })
    // What a vendor does not have now it will not have in a quarter of an hour.
    const hasFailed = code !== undefined && code !== 'fetch.not-found'
    const failures = hasFailed ? (this.#turns.get(name)?.failures ?? 0) + 1 : 0
    const pauseMs = hasFailed ? Math.min(everyMs, backOffMs(failures)) : everyMs
    // A tenth more or less, so that many brokers do not ask at once.
    const nextAt = this.#parts.now() + pauseMs * (0.9 + Math.random() * 0.2)
    this.#turns.set(name, { nextAt, failures, code })
  }

  /** @returns the code of the failure, undefined when the list is there */
  async #refreshList(line: ProductLine, kind: KdsKind): Promise<string | undefined> {
    const { address, roots } = this.#options
    const { signal } = this.#stop
    try {
      const options = { client: this.#client, address, roots, signal }
      const der = await fetchAmdRevocationList(line, kind, options)
      if (this.#parts.trust.hasRevocationList(der)) return undefined
      const subject = `${line} ${kind}, ${der.length} bytes`
      recordAction(this.#parts, newRequestId(), 'revocation-list.fetch', subject)
      this.#parts.trust.replaceRevocationList(der)
      return undefined
    } catch (error) {
      if (error instanceof EndorsementFetchError) return error.code
      throw error
    }
  }

  /** @returns the code of the failure, undefined when what there is was made new, or is as new as Intel's */
  async #refreshCollateral({ fmspc, ca, bundle }: IntelCollateral): Promise<string | undefined> {
    const { pceId = '0000' } = bundle.subject
    try {
      const fetched = await fetchPlatformCollateral(
        { tee: 'tdx', fmspc, pceId, ca },
        { ...this.#options.intel, client: this.#client, signal: this.#stop.signal },
      )
      const fresh = makeBundle({
        tee: 'tdx',
        subject: bundle.subject,
        items: endorsementItems(fetched),
        fetchedAt: this.#client.now,
      })
      // What there is stays, and runs out unless the owner decides: an attacker between here and Intel can serve what Intel signed before.
      if (rolledBack(fresh, bundle) !== undefined) return 'broker.collateral-earlier'
      if (!isNewer(fresh, bundle) || !this.#parts.trust.hasIntelCollateral(fmspc, ca))
        return undefined
      const subject = `${fmspc} ${ca}, until ${fresh.expires.toISOString()}`
      recordAction(this.#parts, newRequestId(), 'intel-collateral.fetch', subject)
      this.#parts.trust.putIntelCollateral({ fmspc, ca, bundle: fresh })
      return undefined
    } catch (error) {
      if (error instanceof EndorsementFetchError) return error.code
      throw error
    }
  }

  async #keepGoing(): Promise<void> {
    const { everyMs = DEFAULT_EVERY_MS } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.refresh()
      const nextAt = this.#lists().map(({ name }) => this.#turns.get(name)?.nextAt ?? 0)
      const untilNext = Math.min(...nextAt) - this.#parts.now()
      const pauseMs = Math.max(MIN_PAUSE_MS, Math.min(untilNext, everyMs))
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}
