/** One call of hostd's REST interface, and what answers it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import type { ChangeFeed } from './change-feed.ts'
import type { HostLedger } from './host-ledger.ts'
import type { Machines } from './machines/machines.ts'
import type { QuotaFile } from './quota-file.ts'
import type { Workloads } from './workloads.ts'

export interface RoutesOptions {
  readonly workloads: Workloads
  readonly machines: Machines
  readonly ledger: HostLedger
  readonly quota: QuotaFile
  readonly changes: ChangeFeed
  readonly home: string
  readonly startedAt: string
  readonly shutdown: () => void
}

/** What a path holds beside its fixed words. */
export interface RouteMatch {
  /** Method and path with `NAME` and `ITEM` in place of what varies. */
  readonly route: string
  /** Of the workload or machine; empty where there is none. */
  readonly name: string
  /** Below it, such as a snapshot's name; empty where there is none. */
  readonly item: string
  readonly query: URLSearchParams
}

export interface Exchange extends RoutesOptions, RouteMatch {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Fires when the client goes away. */
  readonly signal: AbortSignal
}

export type Handler = (exchange: Exchange) => Promise<void> | void

/** A call that becomes raw bytes. @returns what takes the stream once the client was told */
export type Upgrade = (
  exchange: RoutesOptions & RouteMatch & { readonly signal: AbortSignal },
) => Promise<(stream: Duplex) => void>

/** @throws CloisterError `request.malformed` */
export function match(request: IncomingMessage): RouteMatch {
  const url = URL.parse(request.url ?? '/', 'http://hostd')
  if (url === null) throw new CloisterError('request.malformed', { why: 'the path cannot be read' })
  const { pathname, searchParams: query } = url
  const [, kind, name, rest = ''] = /^\/v1\/(workloads|vms)\/([^/]+)(.*)$/.exec(pathname) ?? []
  if (kind === undefined || name === undefined)
    return { route: `${request.method} ${pathname}`, name: '', item: '', query }
  const [, item = '', tail = ''] = /^\/snapshots\/([^/]+)(.*)$/.exec(rest) ?? []
  const below = item === '' ? rest : `/snapshots/ITEM${tail}`
  return { route: `${request.method} /v1/${kind}/NAME${below}`, name, item, query }
}
