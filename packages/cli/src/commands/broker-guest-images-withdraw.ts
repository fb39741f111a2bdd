import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { versionNumber, withdrawing } from '../owner/withdrawing.ts'

export const command: Command = {
  usage: 'broker guest-images withdraw NAME VERSION [--yes]',
  details:
    'For a guest image, or the boot bundle of a VM (vm-NAME), with a hole: in every mode, guests of it get no token and no secret from then on, and `verify` says failed.\nThere is no way back; build the image anew and run it.',
  options: { yes: { type: 'boolean', short: 'y', help: 'ask nothing' } },
  positionals: [2, 2],
  async run(invocation) {
    const [name = '', text = ''] = invocation.positionals
    const version = versionNumber(text)
    const broker = openBroker(invocation.directories, invocation.signal)
    await withdrawing(`guest image ${name}, version ${version}`, invocation, async () => {
      await broker.withdrawGuestImage(name, version)
    })
  },
}
