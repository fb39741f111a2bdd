/** Follows a start until the container runs, or tells why it does not. */
import { CloisterError } from '@cloister/protocol/error'
import type { StageRecord, WorkloadView } from '@cloister/protocol/hostd-api'
import type { BrokerClient } from '../owner/broker-client.ts'
import { followWorkload, type FollowOptions } from './follow-workload.ts'

export interface AwaitOptions extends FollowOptions {
  readonly broker: BrokerClient
  /** Called once for each stage, in order. */
  readonly onStage?: (stage: StageRecord) => void
}

/**
 * The view once the container was started, or has ended already with an exit code.
 *
 * @throws CloisterError the workload's own error; when the broker refused it, with expected and received from the audit log
 */
export async function awaitRunning(name: string, options: AwaitOptions): Promise<WorkloadView> {
  const { onStage } = options
  let told = 0
  for await (const event of followWorkload(name, options)) {
    if (event.type === 'removed') throw new CloisterError('workload.not-found', { where: name })
    const { workload } = event
    for (const stage of workload.stages.slice(told)) onStage?.(stage)
    told = Math.max(told, workload.stages.length)
    if (workload.state === 'running' || workload.state === 'exited') return workload
    if (workload.state === 'failed') throw await explained(workload, options)
  }
  throw new CloisterError('hostd.unreachable')
}

/** The owner sees what guest and host must not: the check that failed, from the broker's audit log. */
async function explained(workload: WorkloadView, { broker }: AwaitOptions): Promise<CloisterError> {
  const error = CloisterError.fromJSON(workload.error)
  const refused = await lastRefusal(workload, broker)
  if (refused === undefined) return error
  const of = (outcome: string) => refused.checks.filter((check) => check.outcome === outcome)
  const failed = of('fail').length > 0 ? of('fail') : of('undecided')
  const [first] = failed
  return new CloisterError(error.code, {
    ...error.details,
    why: `the broker refused it: ${failed.map(({ code }) => code).join(', ') || (refused.code ?? 'see its audit log')}`,
    requestId: refused.requestId,
    ...(first?.expected !== undefined && { expected: first.expected }),
    ...(first?.received !== undefined && { received: first.received }),
    fix: [
      `cloister broker audit --request ${refused.requestId} -o json`,
      ...(error.details.fix ?? []),
    ],
  })
}

/** The request id is the host's word, so an entry that names another workload is not taken for the reason. */
async function lastRefusal({ name, error, createdAt }: WorkloadView, broker: BrokerClient) {
  const requestId = error?.requestId
  const filter = requestId === undefined ? { limit: 20 } : { requestId, limit: 1 }
  // The audit explains; without it the error stands as it is.
  const entries = await broker.audit(filter).catch(() => [])
  const since = Date.parse(createdAt)
  return entries.find(
    ({ outcome, kind, time, workload = name }) =>
      outcome === 'refused' && kind !== 'admin' && time >= since && workload === name,
  )
}
