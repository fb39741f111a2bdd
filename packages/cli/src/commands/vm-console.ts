import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { attachConsole } from '../vm/attach-console.ts'

export const command: Command = {
  usage: 'vm console NAME [--view]',
  details:
    'The serial console on this terminal, raw. Ctrl-] leaves, and so does ~. at the start of a line. One writes; any number look on with --view.\nWhat the guest writes reaches the terminal as it is: for a guest that you do not trust use `vm logs`.',
  options: { view: { type: 'boolean', help: 'look on and write nothing' } },
  positionals: [1, 1],
  async run(invocation) {
    const { options, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const isViewer = options['view'] === true
    const hostd = await openHostd(invocation)
    const stream = await hostd.vms.console(name, { view: isViewer, signal })
    output.talk(`console of ${name}${isViewer ? ', looking on' : ''}; Ctrl-] leaves`)
    await attachConsole(stream, { isViewer, signal })
    output.talk('')
    output.talk(`left the console of ${name}`)
  },
}
