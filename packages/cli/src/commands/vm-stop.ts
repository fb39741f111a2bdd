import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { stopRequest, STOP_OPTIONS } from '../vm/stop-options.ts'

export const command: Command = {
  usage: 'vm stop NAME [--force] [--grace SECONDS]',
  details: 'Presses the power button; the VM is ended when the grace time has passed.',
  options: STOP_OPTIONS,
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.stop(name, stopRequest(invocation), { signal })
    await output.object(view, {
      name,
      text: () => `${name} ${view.state}${view.why === undefined ? '' : `: ${view.why}`}`,
    })
    output.talk(`next: cloister vm start ${name}, cloister vm rm ${name}`)
  },
}
