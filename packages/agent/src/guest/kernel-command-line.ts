/** What the measured kernel command line tells the agent. */
import { CloisterError } from '@cloister/protocol/error'
import {
  ATTESTER_MODES,
  GUEST_KINDS,
  type AttesterMode,
  type GuestKind,
} from '@cloister/protocol/guest-names'

/**
 * The attester mode: the only word `cloister.mode=` of the line. `probe` never reaches the agent.
 *
 * @throws CloisterError `agent.mode-unknown` when it is absent, unknown or stands twice
 */
export function attesterMode(commandLine: string): AttesterMode {
  const modes = valuesOf(commandLine, 'cloister.mode')
  const mode = ATTESTER_MODES.find((known) => known === modes[0])
  if (mode === undefined || mode === 'probe' || modes.length !== 1)
    throw new CloisterError('agent.mode-unknown', { received: modes.join(' ').slice(0, 100) })
  return mode
}

/**
 * What the guest is for: the only word `cloister.guest=` of the line.
 *
 * @returns `container` when there is none
 * @throws CloisterError `agent.mode-unknown` when it is unknown or stands twice
 */
export function guestKind(commandLine: string): GuestKind {
  const [word = 'container', ...others] = valuesOf(commandLine, 'cloister.guest')
  const kind = GUEST_KINDS.find((known) => known === word)
  if (kind === undefined || others.length > 0)
    throw new CloisterError('agent.mode-unknown', { received: word.slice(0, 100) })
  return kind
}

function valuesOf(commandLine: string, name: string): string[] {
  return commandLine
    .trim()
    .split(/\s+/)
    .filter((word) => word.startsWith(`${name}=`))
    .map((word) => word.slice(name.length + 1))
}
