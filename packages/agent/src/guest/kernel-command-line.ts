/** What the measured kernel command line tells the agent. */
import { CloisterError } from '@cloister/protocol/error'
import { ATTESTER_MODES, type AttesterMode } from '@cloister/protocol/guest-names'

/**
 * The attester mode: the only word `cloister.mode=` of the line. `probe` never reaches the agent.
 *
 * @throws CloisterError `agent.mode-unknown` when it is absent, unknown or stands twice
 */
export function attesterMode(commandLine: string): AttesterMode {
  const modes = commandLine
    .trim()
    .split(/\s+/)
    .filter((word) => word.startsWith('cloister.mode='))
    .map((word) => word.slice('cloister.mode='.length))
  const mode = ATTESTER_MODES.find((known) => known === modes[0])
  if (mode === undefined || mode === 'probe' || modes.length !== 1)
    throw new CloisterError('agent.mode-unknown', { received: modes.join(' ').slice(0, 100) })
  return mode
}
