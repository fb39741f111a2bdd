/** The owner sees what guest and host must not: the check that failed, from the broker's audit, where an attested guest also tells of its own refusals. */
import type { AuditEntry } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import type { BrokerClient } from './broker-client.ts'

export interface RefusedGuest {
  readonly name: string
  /** ISO 8601; refusals before it are of an earlier start. */
  readonly createdAt: string
  readonly broker: Pick<BrokerClient, 'audit'>
}

/** Entries that are looked through where the host names none, or a wrong one. */
const LATEST = 20

/** @returns `error` with what the audit knows about it; the same error when that is nothing, or the broker does not answer */
export async function explainRefusal(
  error: CloisterError,
  guest: RefusedGuest,
): Promise<CloisterError> {
  const refused = await lastRefusal(error, guest)
  if (refused === undefined) return error
  const { code, requestId, kind } = refused
  const of = (outcome: string) => refused.checks.filter((check) => check.outcome === outcome)
  const failed = of('fail').length > 0 ? of('fail') : of('undecided')
  const [first] = failed
  const checks = failed.map((check) => check.code).join(', ') || (code ?? 'see its audit log')
  const audit = `cloister broker audit --request ${requestId}`
  return new CloisterError(error.code, {
    ...error.details,
    // What the guest says comes through its own connection; the code of `error` came through the host.
    why:
      kind === 'guest'
        ? `the guest refused it, and told your broker: ${checks}`
        : `the broker refused it: ${checks}`,
    requestId,
    ...(first?.expected !== undefined && { expected: first.expected }),
    ...(first?.received !== undefined && { received: first.received }),
    ...(kind === 'guest' && first?.where !== undefined && { where: first.where }),
    fix: [audit, ...error.toJSON().fix.filter((fix) => !fix.startsWith('cloister broker audit'))],
  })
}

/** Codes by which a guest says that the broker refused it. */
const REFUSED_BY_BROKER = /^agent\.(?:attestation|resource)-refused$/

/**
 * What the guest itself has told comes first. The request id is the host's word, so an entry that names another workload is not taken for the
 * reason.
 */
async function lastRefusal(
  { code, details: { requestId } }: CloisterError,
  { name, createdAt, broker }: RefusedGuest,
): Promise<AuditEntry | undefined> {
  const since = Date.parse(createdAt)
  const find = async (
    filter: Parameters<BrokerClient['audit']>[0],
    isMeant: (kind: AuditEntry['kind']) => boolean,
  ) => {
    // The audit explains; without it the error stands as it is.
    const entries = await broker.audit(filter).catch(() => [])
    return entries.find(
      ({ outcome, kind, time, workload = name }) =>
        outcome === 'refused' && isMeant(kind) && time >= since && workload === name,
    )
  }
  const told = await find({ workload: name, limit: LATEST }, (kind) => kind === 'guest')
  if (told !== undefined) return told
  if (requestId === undefined && !REFUSED_BY_BROKER.test(code)) return undefined
  const filter = requestId === undefined ? { limit: LATEST } : { requestId, limit: 1 }
  return await find(filter, (kind) => kind !== 'admin')
}
