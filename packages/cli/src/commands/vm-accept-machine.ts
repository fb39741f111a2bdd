import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { acceptMachine } from '../vm/accept-machine.ts'
import { registerValue } from '../vm/create-plan.ts'

export const command: Command = {
  usage: 'vm accept-machine NAME [RTMR0]',
  details:
    'RTMR0 of a TDX guest speaks of the machine as its host made it: settings of the firmware, memory, ACPI tables. The guest image does not tell it. Without RTMR0 the value\nof the latest refused release is accepted, where RTMR0 was all that was missing: trust on first use, so look at it where the host is not to be believed, or compare it\nwith that of a machine you know. The secrets of the VM go to that machine alone from then on; start the VM again.',
  positionals: [1, 2],
  async run({ directories, output, positionals, signal }) {
    const [name = '', given] = positionals
    const broker = openBroker(directories, signal)
    const value = given === undefined ? undefined : registerValue(given)
    const accepted = await acceptMachine(name, value, broker)
    await output.object(accepted, {
      name: accepted.rtmr0,
      text: () => `${accepted.secrets.join(', ')} may go to RTMR0 ${accepted.rtmr0}`,
    })
    output.talk(`next: cloister vm restart ${name}`)
  },
}
