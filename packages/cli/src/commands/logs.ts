import { parseInitdata, parseWorkload } from '@cloister/protocol/initdata'
import { escapeText } from '../escape-text.ts'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { printText } from '../print-text.ts'

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
      else printText(entry.text, process[entry.stream])
    }
    if (!any) invocation.output.talk(`${name} has given no output${await reason(name, hostd)}`)
  },
}

/** Why there may be none. */
async function reason(name: string, hostd: Awaited<ReturnType<typeof openHostd>>): Promise<string> {
  const { initdata } = await hostd.get(name)
  const { hostPolicy } = parseWorkload(parseInitdata(Buffer.from(initdata, 'base64')))
  const gives = hostPolicy.readStdout || hostPolicy.readStderr
  return gives ? '' : '; its policy gives none to the host, for it was started without --logs'
}
