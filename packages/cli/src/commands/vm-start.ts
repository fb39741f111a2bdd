import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'

export const command: Command = {
  usage: 'vm start NAME',
  details: 'Starting one that runs does nothing.',
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.start(name, { signal })
    await output.object(view, { name, text: () => `${name} ${view.state}` })
    output.talk(`next: cloister vm ssh ${name}, cloister vm logs ${name} -f`)
  },
}
