/**
 * Reads boot stages from the guest's port `cloister.stage`. Attacker-controlled: lines are bounded, a stage counts only when name and
 * number belong together and it is later than all before, so a guest causes at most one event per stage.
 */
import { connect, type Socket } from 'node:net'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import { LineSplitter } from './line-splitter.ts'
import type { StageRecord } from './vm-spec.ts'

/** `130 exited 123456789` has 20 bytes, `! <code>` at most 66. */
const MAX_LINE_BYTES = 128

export type StageLine =
  | { readonly kind: 'stage'; readonly name: StageName; readonly uptimeMs: number }
  | { readonly kind: 'failure'; readonly code: string }

/** One line of the port. Absent: it is none that an honest guest writes. */
export function parseStageLine(line: string): StageLine | undefined {
  const failure = /^! ([a-z0-9][a-z0-9.-]{0,63})$/.exec(line)
  if (failure?.[1] !== undefined) return { kind: 'failure', code: failure[1] }
  const stage = /^(\d{1,3}) ([a-z][a-z0-9-]{0,15}) (\d{1,12})$/.exec(line)
  if (stage === null) return undefined
  const [, number, name = '', uptimeMs] = stage
  if (!Object.hasOwn(STAGES, name) || STAGES[name as StageName] !== Number(number)) return undefined
  return { kind: 'stage', name: name as StageName, uptimeMs: Number(uptimeMs) }
}

export class StageReader {
  readonly #socket: Socket
  readonly #lines = new LineSplitter(MAX_LINE_BYTES)
  readonly #onStage: (stage: StageRecord) => void
  readonly stages: StageRecord[] = []
  /** The code with which the guest gave up; the first one counts. */
  failureCode: string | undefined
  /** Settles when the port's connection has ended and everything before was read. */
  readonly closed: Promise<void>

  constructor(socketPath: string, onStage: (stage: StageRecord) => void) {
    this.#onStage = onStage
    this.#socket = connect(socketPath)
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    // What goes wrong here shows as stages that do not come; the VM's end is watched elsewhere.
    this.#socket.on('error', () => this.#socket.destroy())
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    for (const text of this.#lines.push(chunk)) {
      const line = parseStageLine(text)
      if (line?.kind === 'failure') this.failureCode ??= line.code
      else if (line !== undefined && this.#isLater(line.name)) {
        const record = { name: line.name, uptimeMs: line.uptimeMs, at: new Date() }
        this.stages.push(record)
        this.#onStage(record)
      }
    }
  }

  #isLater(name: StageName): boolean {
    const last = this.stages.at(-1)
    return last === undefined || STAGES[name] > STAGES[last.name]
  }
}
