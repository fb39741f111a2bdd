import { textOption, type Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { versionNumber, withdrawing } from '../owner/withdrawing.ts'

export const command: Command = {
  usage: 'broker workloads withdraw NAME [--revision N] [--yes]',
  details:
    'It gets no token and no secret from then on, also under tokens that it has, and `verify` says failed. What a guest has already it keeps.\nThere is no way back; another run registers a new revision.',
  options: {
    revision: { type: 'string', value: 'N', help: 'only this one; default all' },
    yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const text = textOption(invocation, 'revision')
    const revision = text === undefined ? undefined : versionNumber(text)
    const which = revision === undefined ? 'every revision' : `revision ${revision}`
    const broker = openBroker(invocation.directories, invocation.signal)
    await withdrawing(`workload ${name}, ${which}`, invocation, async () => {
      await broker.withdrawWorkload(name, revision)
    })
  },
}
