/** A guest whose VM runs, and the two links to it: calls to its agent, and byte streams. */
import type { Duplex } from 'node:stream'
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { Vm, VmExit } from '@cloister/launcher/vm-spec'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import { Guest as GuestService } from '@cloister/protocol/guest_pb'
import type { EvidenceAnswer, StatusAnswer } from '@cloister/protocol/hostd-api'
import type { Unary } from '@cloister/protocol/ttrpc/client'
import type { Carrier } from './carriers.ts'
import { GuestLink, SessionLost } from './guest-link.ts'
import { NetLink } from './net-link.ts'

/** GetEvidence under emulation takes a second; the guest may still boot, or be busy pulling. */
const EVIDENCE_TIMEOUT_MS = 60_000
const STATUS_TIMEOUT_MS = 10_000
const SIGNAL_TIMEOUT_MS = 5_000
/** A status is answered at once; under emulation and load in a second. */
const MUTE_MS = 3_000
const CHANNEL_TIMEOUT_MS = 30_000
const SIGTERM = 15

export class Guest {
  readonly vm: Vm
  readonly link: GuestLink
  /** How its VM ended; absent while it runs. */
  exit: VmExit | undefined
  readonly #net: NetLink

  /** @param onAgent - called whenever an agent in the guest has answered anew; given for guests whose agent may be replaced while they run */
  constructor(vm: Vm, targets: ReadonlyMap<string, Carrier>, onAgent?: () => void) {
    this.vm = vm
    this.link = new GuestLink(vm.sockets.agent)
    this.#net = new NetLink({
      socketPath: vm.sockets.net,
      targets,
      ...(onAgent && { onOpen: onAgent, isReplaceable: true }),
    })
    void vm.exited.then((exit) => (this.exit = exit))
  }

  async evidence(nonce: Uint8Array, signal: AbortSignal): Promise<EvidenceAnswer> {
    const { getEvidence } = GuestService.method
    const answer = await this.#ask(getEvidence, { nonce }, EVIDENCE_TIMEOUT_MS, signal)
    return {
      tee: answer.tee,
      evidenceJson: Buffer.from(answer.evidenceJson).toString('utf8'),
      agentKey: Buffer.from(answer.agentKey).toString('base64'),
      channelKey: Buffer.from(answer.channelKey).toString('base64'),
      initdata: Buffer.from(answer.initdata).toString('base64'),
    }
  }

  async status(signal?: AbortSignal, timeoutMs = STATUS_TIMEOUT_MS): Promise<StatusAnswer> {
    const answer = await this.#ask(GuestService.method.getStatus, {}, timeoutMs, signal)
    const { stage, attestations, token, imageDigest, errorCode, requestId } = answer
    return { stage, attestations, token, imageDigest, errorCode, requestId }
  }

  /**
   * For guests whose agent may be replaced while they run, as one that its owner installed: gives up a session that is not answered soon, so that the next
   * call opens one with the agent of now.
   */
  async renewIfMute(signal: AbortSignal): Promise<void> {
    try {
      await this.status(signal, MUTE_MS)
    } catch (error) {
      const isMute = error instanceof CloisterError && error.code === 'guest.no-answer'
      if (isMute) this.link.reset()
    }
  }

  /** @throws CloisterError `guest.no-answer` */
  connectChannel(signal: AbortSignal): Promise<Duplex> {
    return this.#net.connectChannel(
      AbortSignal.any([signal, AbortSignal.timeout(CHANNEL_TIMEOUT_MS)]),
    )
  }

  /** Sends SIGTERM to the container's first process. */
  async terminate(containerId: string): Promise<void> {
    const request = { containerId, execId: containerId, signal: SIGTERM }
    await this.#ask(AgentService.method.signalProcess, request, SIGNAL_TIMEOUT_MS)
  }

  /** Closes the links; the VM is not touched. */
  close(): void {
    this.link.close()
    this.#net.close()
  }

  /** One call within a time that includes the opening of a session. */
  async #ask<Input extends DescMessage, Output extends DescMessage>(
    method: Unary<Input, Output>,
    request: MessageInitShape<Input>,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<MessageShape<Output>> {
    const deadline = AbortSignal.timeout(timeoutMs)
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
    try {
      return await this.link.call(method, request, { timeoutMs, signal: either })
    } catch (error) {
      if (this.exit !== undefined || this.link.isClosed)
        throw new CloisterError('workload.not-running', { why: 'its guest ended meanwhile' })
      if (deadline.aborted || error instanceof SessionLost)
        throw new CloisterError('guest.no-answer', { where: `guest, ${method.name}`, cause: error })
      throw error
    }
  }
}
