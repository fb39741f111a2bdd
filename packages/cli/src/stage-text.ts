import { escapeText } from './escape-text.ts'

/** A stage of a guest's start, as the host has it. */
interface ShownStage {
  /** A stage's, or whatever the guest calls one. */
  readonly name: string
  /** Since the start, milliseconds. */
  readonly hostMs: number
}

/** Such as `12.5 s`. */
export function secondsText(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

/** Time and name, for one line below another. */
export function stageText({ name, hostMs }: ShownStage): string {
  return `${secondsText(hostMs).padStart(7)}  ${escapeText(name)}`
}
