import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { stopRequest, STOP_OPTIONS } from '../vm/stop-options.ts'

export const command: Command = {
  usage: 'vm restart NAME [--force] [--grace SECONDS]',
  details: 'Stops and starts it: a new QEMU, and a new TPM process.',
  options: STOP_OPTIONS,
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.restart(name, stopRequest(invocation), { signal })
    await output.object(view, { name, text: () => `${name} ${view.state}` })
    output.talk(`next: cloister vm ssh ${name}`)
  },
}
