/**
 * Keeps AMD's revocation lists and Intel's collateral in date by asking them on a schedule, where the owner wants that. It only adds what the vendor signed
 * and what is in date; whether it is demanded, and in date, is judged at each attestation as if the owner had brought it. When a vendor cannot
 * be asked, what there is runs out and attestation under its anchors is undecided: nothing is released. Intel is asked for the kinds of platforms
 * that the owner gave collateral for: no Attester can make the broker ask.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  fetchAmdRevocationList,
  type KdsKind,
  type KdsOptions,
} from '@cloister/verifier/fetch/amd-kds'
import {
  encodeBundle,
  makeBundle,
  type EndorsementBundle,
} from '@cloister/verifier/endorsements/bundle'
import { endorsementItems } from '@cloister/verifier/endorsements/bundle-item'
import { EndorsementClient, type FetchFunction } from '@cloister/verifier/fetch/endorsement-client'
import { EndorsementFetchError } from '@cloister/verifier/fetch/fetch-error'
import { fetchPlatformCollateral, type PcsOptions } from '@cloister/verifier/fetch/intel-pcs'
import { PRODUCT_LINES, type ProductLine } from '@cloister/verifier/snp/product'
import { equalBytes } from '@cloister/verifier/bytes/equal'
import { recordAction } from '../admin/record-action.ts'
import type { BrokerParts } from '../parts.ts'
import type { IntelCollateral } from '../storage/trust-settings.ts'

export interface ListRefreshOptions {
  /** Milliseconds between two rounds; 12 hours when absent. A round with failures is repeated after 15 minutes at most. */
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
const KINDS: readonly KdsKind[] = ['vcek', 'vlek']

type Parts = Pick<BrokerParts, 'trust' | 'audit' | 'now' | 'onBug'>

export class ListRefresher implements AsyncDisposable {
  readonly #parts: Parts
  readonly #options: ListRefreshOptions
  readonly #client: EndorsementClient
  readonly #stop = new AbortController()
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

  /** One round over all lines. A failure of one does not keep the others. */
  async refresh(): Promise<ListRefreshState> {
    const { lines = PRODUCT_LINES } = this.#options
    const problems: string[] = []
    for (const line of lines)
      for (const kind of KINDS) {
        const code = await this.#refreshList(line, kind)
        if (code !== undefined) problems.push(`${line} ${kind}: ${code}`)
      }
    for (const known of this.#parts.trust.intelBundles()) {
      const code = await this.#refreshCollateral(known)
      if (code !== undefined) problems.push(`TDX ${known.fmspc} ${known.ca}: ${code}`)
    }
    this.#state = { roundAt: this.#parts.now(), problems }
    return this.#state
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
      recordAction(this.#parts, randomBytes(16).toString('hex'), 'revocation-list.fetch', subject)
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
      if (!isNewer(fresh, bundle) || !this.#parts.trust.hasIntelCollateral(fmspc, ca))
        return undefined
      const subject = `${fmspc} ${ca}, until ${fresh.expires.toISOString()}`
      recordAction(this.#parts, randomBytes(16).toString('hex'), 'intel-collateral.fetch', subject)
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
      let pauseMs = everyMs
      try {
        const { problems } = await this.refresh()
        // What AMD does not have now it will not have in a quarter of an hour.
        if (problems.some((problem) => !problem.endsWith('fetch.not-found')))
          pauseMs = Math.min(everyMs, AFTER_FAILURE_MS)
      } catch (error) {
        if (!signal.aborted) this.#parts.onBug(error)
      }
      // A tenth more or less, so that many brokers do not ask at once.
      const jittered = pauseMs * (0.9 + Math.random() * 0.2)
      await sleep(jittered, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

/** Other items, and none that ends before those that there are. */
function isNewer(fresh: EndorsementBundle, known: EndorsementBundle): boolean {
  const { fetchedAt } = known
  const isSame = equalBytes(encodeBundle({ ...fresh, fetchedAt }), encodeBundle(known))
  return !isSame && fresh.expires >= known.expires
}
