import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { trustOfGuests } from '../owner/trust-of-guests.ts'
import { vmText } from '../vm/vm-text.ts'

export const command: Command = {
  usage: 'vm show NAME',
  details: 'What hostd knows of it, and what stands behind its protection.',
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.get(name, { signal })
    const [trust = 'unattested'] = await trustOfGuests([view], hostd, invocation)
    const shown = { ...view, trust }
    await output.object(shown, { name, text: () => vmText(shown, output.painter) })
  },
}
