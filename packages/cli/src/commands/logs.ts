import { escapeText } from '../escape-text.ts'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'

export const command: Command = {
  usage: 'logs NAME [-f]',
  details:
    'Logs pass through the host in clear, so a guest gives them only when its workload was started with --logs.\nStandard output and standard error go to the same streams here; -o json gives one object a line.',
  options: { follow: { type: 'boolean', short: 'f', help: 'go on until the workload ends' } },
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    let any = false
    for await (const entry of hostd.logs(name, {
      follow: invocation.options['follow'] === true,
      signal: invocation.signal,
    })) {
      any = true
      if (invocation.format === 'json')
        process.stdout.write(`${escapeText(JSON.stringify(entry))}\n`)
      else
        process[entry.stream].write(
          process[entry.stream].isTTY ? escapeText(entry.text) : entry.text,
        )
    }
    if (!any)
      invocation.output.talk(`${name} has given no output; it does only when started with --logs`)
  },
}
