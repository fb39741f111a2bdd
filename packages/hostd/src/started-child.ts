/** A daemon that a command starts in the background: why it did not come up reaches the command by a pipe, for its log may have no room. */
import type { ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'
import { CloisterError } from '@cloister/protocol/error'

/** An error object is shorter. */
const MOST_BYTES = 64 << 10

export interface StartedChild {
  /** Whether it has ended and all that it wrote is here. */
  readonly hasEnded: boolean
  /** The error object that it wrote before it ended, as `-o json` has it. Absent: it said nothing, or has not ended. */
  refusal(): CloisterError | undefined
  /** Lets the child go on without its starter. */
  release(): void
}

/** @param child - with a pipe as standard output, detached */
export function watchStart(child: ChildProcess): StartedChild {
  const { stdout } = child
  let said = ''
  let hasEnded = false
  child.once('close', () => {
    hasEnded = true
  })
  stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < MOST_BYTES) said += text
  })
  stdout?.on('error', () => undefined)
  if (stdout instanceof Socket) stdout.unref()
  return {
    get hasEnded() {
      return hasEnded
    },
    refusal() {
      try {
        const { error } = JSON.parse(said) as { readonly error: unknown }
        return CloisterError.fromJSON(error)
      } catch {
        return undefined
      }
    },
    release: () => stdout?.destroy(),
  }
}
