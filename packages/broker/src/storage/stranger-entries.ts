/** Entries of the audit that anybody on the network can cause: bounded by address and in all, and told as a number beyond. */
import { randomBytes } from 'node:crypto'
import type { AuditContent } from '@cloister/protocol/broker-admin-api'
import type { AuditLog } from './audit-log.ts'
import { Tally, type Count, type TallyBounds } from './tally.ts'

const KINDS = {
  enrolment: { code: 'tpm.enrolment.many', perAddress: 10, inAll: 200 },
  attestation: { code: 'attestation.many', perAddress: 20, inAll: 200 },
  release: { code: 'release.many', perAddress: 60, inAll: 200 },
} as const satisfies Record<string, TallyBounds & { readonly code: string }>

type StrangerKind = keyof typeof KINDS

/** A decision about somebody whom the owner need not know. */
export type StrangerEntry = AuditContent & { readonly kind: StrangerKind }

/** Addresses that an entry names. */
const NAMED = 16

interface Kept {
  readonly kind: StrangerKind
  readonly outcome: AuditContent['outcome']
  readonly tally: Tally
}

export class StrangerEntries {
  readonly #audit: Pick<AuditLog, 'append'>
  readonly #kept = new Map<string, Kept>()

  constructor(audit: Pick<AuditLog, 'append'>) {
    this.#audit = audit
  }

  /** Writes the entry, or counts it. Bounds hold for each kind and outcome on its own. */
  append(address: string, entry: StrangerEntry): void {
    const { kind, outcome, time } = entry
    const kept = this.#keptFor(kind, outcome)
    if (kept.tally.isDue(time)) this.#tell(kept, time)
    if (kept.tally.take(address, time)) this.#audit.append(entry)
  }

  /** Makes entries of what was counted so far, so that whoever reads the audit sees it. */
  flush(now: number): void {
    for (const kept of this.#kept.values()) this.#tell(kept, now)
  }

  #keptFor(kind: StrangerKind, outcome: AuditContent['outcome']): Kept {
    const name = `${kind} ${outcome}`
    const known = this.#kept.get(name)
    if (known !== undefined) return known
    const kept = { kind, outcome, tally: new Tally(KINDS[kind]) }
    this.#kept.set(name, kept)
    return kept
  }

  #tell({ kind, outcome, tally }: Kept, time: number): void {
    const count = tally.drain()
    if (count === undefined) return
    const { code } = KINDS[kind]
    this.#audit.append({
      time,
      requestId: randomBytes(16).toString('hex'),
      kind,
      outcome,
      ...(outcome === 'refused' && { code }),
      subject: `${count.decisions} ${outcome}, from ${iso(count.first)} to ${iso(count.last)}`,
      checks: [
        { code, outcome: outcome === 'refused' ? 'fail' : 'pass', received: addressesText(count) },
      ],
    })
  }
}

function addressesText({ addresses, others }: Count): string {
  const named = addresses.slice(0, NAMED)
  const rest = addresses.slice(NAMED)
  const unnamed = others + rest.reduce((sum, { decisions }) => sum + decisions, 0)
  const texts = named.map(({ address, decisions }) => `${decisions} of ${address}`)
  if (unnamed === 0) return texts.join(', ')
  const many = `${rest.length}${others === 0 ? '' : ' and more'} other addresses`
  return `${texts.join(', ')} and ${unnamed} of ${many}`
}

function iso(time: number): string {
  return new Date(time).toISOString()
}
