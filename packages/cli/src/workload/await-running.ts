/** Follows a start until the container runs, or tells why it does not. */
import { CloisterError } from '@cloister/protocol/error'
import type { StageRecord, WorkloadView } from '@cloister/protocol/hostd-api'
import { explainRefusal } from '../owner/explain-refusal.ts'
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
 * @throws CloisterError the workload's own error; when broker or guest refused it, with expected and received from the audit log
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
    if (workload.state === 'failed') {
      const error = CloisterError.fromJSON(workload.error)
      throw await explainRefusal(error, { ...workload, broker: options.broker })
    }
  }
  throw new CloisterError('hostd.unreachable')
}
