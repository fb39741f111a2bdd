/**
 * Entries of the audit that anybody on the network can cause: bounded by address and in all, and told as a number beyond. Initdata is no secret, so that whoever has a workload's and any
 * machine can cause those of its guests; they have bounds of their own, so that they hide nothing of other workloads, nor strangers anything of them.
 */
import type { AuditContent } from '@cloister/protocol/broker-admin-api'
import { newRequestId } from '../request-id.ts'
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

/** Whose entries are bounded apart from all others: guests of a registered workload, or VMs with enrolled TPMs. */
export interface Group {
  readonly name: string
  /** Absent: no registered workload. */
  readonly workload?: string
}

export function groupOfWorkload(workload: string): Group {
  return { name: `workload ${workload}`, workload }
}

interface Kept {
  readonly group: Group | undefined
  readonly kind: StrangerKind
  readonly outcome: AuditContent['outcome']
  readonly tally: Tally
}

export class StrangerEntries {
  readonly #audit: Pick<AuditLog, 'append'>
  readonly #ofGroup: TallyBounds
  readonly #kept = new Map<string, Kept>()

  /** @param ofGroup - bounds of the attestations of one group */
  constructor(audit: Pick<AuditLog, 'append'>, ofGroup: TallyBounds) {
    this.#audit = audit
    this.#ofGroup = ofGroup
  }

  /** Writes the entry, or counts it. Bounds hold for each kind, outcome and group on its own. */
  append(address: string, entry: StrangerEntry, group?: Group): void {
    const { time } = entry
    const kept = this.#keptFor(entry, group)
    if (kept.tally.isDue(time)) this.#tell(kept, time)
    if (kept.tally.take(address, time)) this.#audit.append(entry)
  }

  /** Makes entries of what was counted so far, so that whoever reads the audit sees it. */
  flush(now: number): void {
    for (const kept of this.#kept.values()) this.#tell(kept, now)
  }

  #keptFor({ kind, outcome }: StrangerEntry, group: Group | undefined): Kept {
    const name = `${kind} ${outcome} ${group?.name ?? ''}`
    const known = this.#kept.get(name)
    if (known !== undefined) return known
    const bounds = kind === 'attestation' && group !== undefined ? this.#ofGroup : KINDS[kind]
    const kept = { kind, outcome, group, tally: new Tally(bounds) }
    this.#kept.set(name, kept)
    return kept
  }

  #tell({ kind, outcome, group, tally }: Kept, time: number): void {
    const count = tally.drain()
    if (count === undefined) return
    const { code } = KINDS[kind]
    this.#audit.append({
      time,
      requestId: newRequestId(),
      kind,
      outcome,
      ...(outcome === 'refused' && { code }),
      ...(group?.workload !== undefined && { workload: group.workload }),
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
