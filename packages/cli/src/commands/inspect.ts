import { parseInitdata, parseWorkload } from '@cloister/protocol/initdata'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { trustOfGuests } from '../owner/trust-of-guests.ts'
import { workloadText } from '../workload/workload-text.ts'

export const command: Command = {
  usage: 'inspect NAME',
  details:
    'What hostd knows, and the workload as it stands in the initdata; -o json gives all of it. Trust is computed here, from fresh evidence: `cloister verify NAME` says why.',
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    const { initdata, ...view } = await hostd.get(name, { signal: invocation.signal })
    const workload = parseWorkload(parseInitdata(Buffer.from(initdata, 'base64')))
    const [trust = 'unattested'] = await trustOfGuests([view], hostd, invocation)
    const whole = { ...view, trust, workload }
    await invocation.output.object(whole, {
      name,
      text: () => workloadText(whole, invocation.output.painter),
    })
  },
}
