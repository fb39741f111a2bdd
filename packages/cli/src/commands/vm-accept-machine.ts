import { CloisterError } from '@cloister/protocol/error'
import type { ComparedEvent } from '@cloister/verifier/tdx/compare-machine'
import type { Command, Invocation } from '../command.ts'
import { confirmGrave } from '../confirm.ts'
import { escapeText } from '../escape-text.ts'
import { openBroker, type BrokerClient } from '../owner/broker-client.ts'
import { readPrediction } from '../td-machine/kept-prediction.ts'
import { acceptMachine, explainMachine, refusedMachine } from '../vm/accept-machine.ts'
import { registerValue } from '../vm/create-plan.ts'

export const command: Command = {
  usage: 'vm accept-machine NAME [RTMR0] [--yes]',
  details:
    'RTMR0 of a TDX guest speaks of the machine as its host made it: settings of the firmware, memory, ACPI tables. The guest image does not tell it. Without RTMR0 the value\nof the latest refused release is shown and accepted after a yes, where RTMR0 was all that was missing: trust on first use, so look at it where the host is not to be believed, or compare it\nwith that of a machine you know. Where the guest showed its event log, the events are told that are not as predicted when the VM was made or resized: those alone rest on your yes. The secrets of the\nVM go to that machine alone from then on; start the VM again.',
  positionals: [1, 2],
  options: { yes: { type: 'boolean', short: 'y', help: 'accept it without being asked' } },
  async run(invocation) {
    const { directories, output, positionals, signal } = invocation
    const [name = '', given] = positionals
    const known = given === undefined ? undefined : registerValue(given)
    const broker = openBroker(directories, signal)
    const value = known ?? (await askedFor(invocation, broker))
    const accepted = await acceptMachine(name, value, broker)
    await output.object(accepted, {
      name: accepted.rtmr0,
      text: () => `${accepted.secrets.join(', ')} may go to RTMR0 ${accepted.rtmr0}`,
    })
    output.talk(`next: cloister vm restart ${name}`)
  },
}

/** @throws CloisterError `vm.machine-unknown`, `cli.declined` */
async function askedFor(
  { directories, options, output, positionals, signal }: Invocation,
  broker: BrokerClient,
): Promise<string> {
  const [name = ''] = positionals
  const { rtmr0, time } = await refusedMachine(name, broker)
  output.talk(
    `RTMR0  ${rtmr0}\n       of the release that was refused at ${new Date(time).toISOString()}`,
  )
  const { events: predicted } = await readPrediction(directories, name)
  for (const line of explanation(await explainMachine(name, rtmr0, { predicted, broker })))
    output.talk(`       ${line}`)
  // Whoever has the initdata may have attested last, on a machine of his own.
  if (!(await confirmGrave(`Is this the machine of ${name}?`, options['yes'] === true, signal)))
    throw new CloisterError('cli.declined')
  return rtmr0
}

const WORDS = {
  differs: 'not as predicted',
  unknown: 'not predicted',
  unexpected: 'not expected',
  missing: 'predicted, and not there',
} as const

/** What of the machine rests on the owner's yes. */
function explanation(events: readonly ComparedEvent[] | undefined): string[] {
  if (events === undefined)
    return ['the guest showed no event log of it, so nothing tells what in it is not as predicted']
  const asPredicted = events.filter(({ verdict }) => verdict === 'predicted').length
  return [
    `${asPredicted} of ${events.length} events are as predicted when the VM was made or resized; on your yes rest:`,
    ...events.flatMap(({ event, verdict, log }) => {
      if (verdict === 'predicted') return []
      const label = log === null || log.isMeasured ? (log?.text ?? '') : `(${log.text})`
      const says = label === '' || label === event ? '' : `  the log says ${label}`
      return [escapeText(`  ${event}: ${WORDS[verdict]}${says}`)]
    }),
  ]
}
