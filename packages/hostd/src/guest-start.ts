/** The dialogue by which a container comes to run: CreateSandbox, CreateContainer, StartContainer, then waiting for its end. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import { Guest } from '@cloister/protocol/guest_pb'
import type { Unary } from '@cloister/protocol/ttrpc/client'
import type { Workload as WorkloadDocument } from '@cloister/protocol/workload'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'
import { guestCode } from '@cloister/protocol/guest-code'
import { SessionLost, type GuestLink } from './guest-link.ts'
import { isPast, type Step } from './record.ts'

/** Between a lost session and the next try. */
const RETRY_MS = 200

export interface GuestStartOptions {
  readonly link: GuestLink
  readonly workload: WorkloadDocument
  /** The last step known to have been answered. The next one may have been sent by a hostd that died. */
  readonly from: Step
  readonly signal: AbortSignal
  /** Tells a step that the guest has answered. */
  readonly onStep: (step: Step) => void
}

/**
 * Starts the container, or goes on with a start that was begun. Deadlines are the boot watch's.
 *
 * @throws CloisterError as the guest answered, `guest.*`; the signal's reason
 */
export async function startContainer(options: GuestStartOptions): Promise<void> {
  const { link, workload, from, signal, onStep } = options
  const { createSandbox, createContainer, startContainer } = AgentService.method
  const containerId = workload.container.id
  if (!isPast(from, 'sandbox')) {
    await askOnce(link, createSandbox, sandboxRequest(workload), signal)
    onStep('sandbox')
  }
  if (!isPast(from, 'container')) {
    await askOnce(link, createContainer, containerRequest(workload), signal)
    onStep('container')
  }
  if (!isPast(from, 'started')) {
    const isFirst = await askOnce(link, startContainer, { containerId }, signal)
    // Another's request may still be under way in the guest.
    if (!isFirst) await untilStarted(link, signal)
    onStep('started')
  }
}

/**
 * Waits for the container's end, through any number of lost sessions.
 *
 * @returns its exit code
 */
export async function waitForExit(
  link: GuestLink,
  containerId: string,
  signal: AbortSignal,
): Promise<number> {
  const request = { containerId, execId: containerId }
  const { status } = await ask(link, AgentService.method.waitProcess, request, signal)
  return status
}

/** Waits until the guest says that its container was started. */
async function untilStarted(link: GuestLink, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { stage, errorCode } = await ask(link, Guest.method.getStatus, {}, signal)
    if (Object.hasOwn(STAGES, stage) && STAGES[stage as StageName] >= STAGES.started) return
    const code = guestCode(errorCode)
    if (code !== undefined) throw new CloisterError(code, { where: 'guest, GetStatus' })
    await sleep(RETRY_MS, undefined, { signal })
  }
}

/**
 * A request that the guest takes once.
 *
 * @returns false when the guest says that it took it before: then its answer was lost
 */
async function askOnce<Input extends DescMessage, Output extends DescMessage>(
  link: GuestLink,
  method: Unary<Input, Output>,
  request: MessageInitShape<Input>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await ask(link, method, request, signal)
    return true
  } catch (error) {
    if (!(error instanceof CloisterError && error.code === 'agent.id-reused')) throw error
    return false
  }
}

async function ask<Input extends DescMessage, Output extends DescMessage>(
  link: GuestLink,
  method: Unary<Input, Output>,
  request: MessageInitShape<Input>,
  signal: AbortSignal,
): Promise<MessageShape<Output>> {
  for (;;) {
    try {
      return await link.call(method, request, { signal })
    } catch (error) {
      if (signal.aborted || !(error instanceof SessionLost)) throw error
      await sleep(RETRY_MS, undefined, { signal })
    }
  }
}
