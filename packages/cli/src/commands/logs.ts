import type { HostdClient } from '@cloister/hostd/client'
import { parseInitdata, parseWorkload } from '@cloister/protocol/initdata'
import { escapeText } from '../escape-text.ts'
import type { Command, Invocation } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { printText } from '../print-text.ts'

export const command: Command = {
  usage: 'logs NAME [-f|--console]',
  details:
    'Logs pass through the host in clear, so a guest gives them only when its workload was started with --logs.\nStandard output and standard error go to the same streams here; -o json gives one object a line.',
  options: {
    follow: { type: 'boolean', short: 'f', help: 'go on until the workload ends' },
    console: {
      type: 'boolean',
      help: 'instead: the end of the serial console of a guest started with --debug, while its VM runs',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    if (invocation.options['console'] === true) return await showConsole(name, hostd, invocation)
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

async function showConsole(
  name: string,
  hostd: HostdClient,
  { output, format, signal }: Invocation,
): Promise<void> {
  const text = await hostd.console(name, { signal })
  if (format !== 'table') await output.object({ name, text }, { name, text: () => text })
  else printText(text, process.stdout)
  if (text === '') output.talk(`${name} has no console; it was started without --debug`)
}

/** Why there may be none. */
async function reason(name: string, hostd: HostdClient): Promise<string> {
  const { initdata } = await hostd.get(name)
  const { hostPolicy } = parseWorkload(parseInitdata(Buffer.from(initdata, 'base64')))
  const gives = hostPolicy.readStdout || hostPolicy.readStderr
  return gives ? '' : '; its policy gives none to the host, for it was started without --logs'
}
