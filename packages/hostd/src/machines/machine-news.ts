/** What becomes known of a machine while its QEMU runs: written into its view and its history, once each. */
import { STAGES } from '@cloister/protocol/guest-names'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { StageRecord } from '@cloister/launcher/vm-spec'
import type { KeptMachine } from './kept-machine.ts'
import type { MachineHistory } from './machine-history.ts'

export class MachineNews {
  readonly #kept: KeptMachine
  readonly #history: MachineHistory

  constructor(kept: KeptMachine, history: MachineHistory) {
    this.#kept = kept
    this.#history = history
  }

  agentAnswered(): void {
    if (this.#kept.view.hasAgent) return
    this.#history.say({ type: 'agent-answered' })
    void this.#kept.set({ hasAgent: true })
  }

  vtpmLost(): void {
    if (this.#kept.view.vtpmLostAt !== undefined) return
    this.#history.say({
      type: 'vtpm-lost',
      why: 'swtpm has ended: the guest has no TPM until a restart',
    })
    void this.#kept.set({ vtpmLostAt: new Date().toISOString() })
  }

  diskFull(): void {
    if (this.#kept.view.diskFullAt !== undefined) return
    this.#history.say({
      type: 'disk-full',
      why: 'the guest stands still until the host has space again',
    })
    void this.#kept.set({ diskFullAt: new Date().toISOString() })
  }

  resumed(): void {
    const { diskFullAt, ...view } = this.#kept.view
    if (diskFullAt === undefined) return
    this.#kept.record.view = view
    this.#history.say({ type: 'resumed' })
    void this.#kept.set({})
  }

  /** Stages come in order; a guest that writes an earlier one again is not heard. */
  stageReached({ name, uptimeMs, at }: StageRecord): void {
    const { stages, startedAt } = this.#kept.view
    const number = STAGES[name]
    if (stages.some((stage) => stage.number >= number)) return
    const hostMs = Math.max(0, at.getTime() - Date.parse(startedAt ?? at.toISOString()))
    void this.#kept.set({ stages: [...stages, { number, name, guestMs: uptimeMs, hostMs }] })
  }
}

/** The view of a new run: nothing of the one before is amiss in it. */
export function withoutTroubles({ vtpmLostAt: _vtpm, diskFullAt: _disk, ...view }: VmView) {
  return view
}
