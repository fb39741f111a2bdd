import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { targetsOfNow } from '../vm/broker-targets.ts'
import { DETACH_OPTION, followStart } from '../vm/follow-start.ts'
import { stopRequest, STOP_OPTIONS } from '../vm/stop-options.ts'

export const command: Command = {
  usage: 'vm restart NAME [--force] [--grace SECONDS] [--detach]',
  details:
    'Stops and starts it: a new QEMU, and a new TPM process. One with a measured boot finds your broker where it listens now.',
  options: { ...STOP_OPTIONS, ...DETACH_OPTION },
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const targets = await targetsOfNow(name, hostd, invocation)
    const request = { ...stopRequest(invocation), targets }
    const restarted = await hostd.vms.restart(name, request, { signal })
    const view = await followStart(restarted, hostd, invocation)
    await output.object(view, { name, text: () => `${name} ${view.state}` })
    if (view.boot === 'direct')
      output.talk(`${name} runs without a launch secret, and its launch was not checked`)
    output.talk(`next: cloister vm ssh ${name}`)
  },
}
