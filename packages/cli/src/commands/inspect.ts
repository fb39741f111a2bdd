import { parseInitdata, parseWorkload } from '@cloister/protocol/initdata'
import type { Command } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { openHostd } from '../hostd.ts'

export const command: Command = {
  usage: 'inspect NAME',
  details:
    'What hostd knows, and the workload as it stands in the initdata. Trust is not in it: `cloister verify NAME` computes that.',
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    const { initdata, ...view } = await hostd.get(name, { signal: invocation.signal })
    const workload = parseWorkload(parseInitdata(Buffer.from(initdata, 'base64')))
    const whole = { ...view, workload }
    await invocation.output.object(whole, {
      name,
      text: () => escapeText(JSON.stringify(whole, null, 2)),
    })
  },
}
