import { textOption, type Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { milliseconds } from '../seconds-option.ts'

export const command: Command = {
  usage: 'stop NAME [--force] [--grace SECONDS]',
  details: 'Asks the workload to end (SIGTERM); its VM is ended when the grace time has passed.',
  options: {
    force: { type: 'boolean', help: 'end the VM at once' },
    grace: { type: 'string', value: 'SECONDS', help: 'time between asking and ending; default 10' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    const grace = textOption(invocation, 'grace')
    const view = await hostd.stop(
      name,
      {
        force: invocation.options['force'] === true,
        ...(grace !== undefined && { timeoutMs: milliseconds('grace', grace, 600) }),
      },
      { signal: invocation.signal },
    )
    const { output } = invocation
    await output.object(view, { name, text: () => `${name} ${view.state}` })
    output.talk(`next: cloister rm ${name}`)
  },
}
