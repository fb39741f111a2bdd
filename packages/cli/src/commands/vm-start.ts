import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { DETACH_OPTION, followStart } from '../vm/follow-start.ts'

export const command: Command = {
  usage: 'vm start NAME [--detach]',
  details:
    'Starting one that runs does nothing. One with a measured boot is followed until its disk is open; when broker or guest refuse, the failed check is shown.',
  options: DETACH_OPTION,
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const view = await followStart(await hostd.vms.start(name, { signal }), hostd, invocation)
    await output.object(view, { name, text: () => `${name} ${view.state}` })
    output.talk(`next: cloister vm ssh ${name}, cloister vm logs ${name} -f`)
  },
}
