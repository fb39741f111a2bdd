import { escapeText } from '../escape-text.ts'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { plainConsole } from '../vm/plain-console.ts'

export const command: Command = {
  usage: 'vm logs NAME [-f]',
  details:
    'What the guest wrote on its serial console, over all its boots, newest 16 MiB. The host can read it.\nOn a terminal what could act on it is made visible; -o json gives one object a line.',
  options: { follow: { type: 'boolean', short: 'f', help: 'go on until the VM ends' } },
  positionals: [1, 1],
  async run(invocation) {
    const { options, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    let any = false
    const follow = options['follow'] === true
    for await (const entry of hostd.vms.consoleLog(name, { follow, signal })) {
      any = true
      if (invocation.format === 'json')
        process.stdout.write(`${escapeText(JSON.stringify(entry))}\n`)
      else process.stdout.write(process.stdout.isTTY ? plainConsole(entry.text) : entry.text)
    }
    if (!any) output.talk(`${name} has written nothing on its console`)
  },
}
