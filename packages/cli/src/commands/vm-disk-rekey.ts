import { CloisterError } from '@cloister/protocol/error'
import type { Command } from '../command.ts'
import { confirm } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import { rekeyDisk } from '../vm/disk-keys.ts'

export const command: Command = {
  usage: 'vm disk rekey NAME [--yes]',
  details:
    'Gives the encrypted disk another key: the VM is started again, takes it over, and the old one opens nothing any more.\nThe data is not encrypted anew: whoever copied the disk and had the old key can still read that copy.',
  options: { yes: { type: 'boolean', short: 'y', help: 'ask nothing' } },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    if (!(await confirm(`Restart ${name}?`, options['yes'] === true, signal)))
      throw new CloisterError('cli.declined')
    const broker = openBroker(directories, signal)
    await rekeyDisk(name, { directories, broker, hostd, talk: output.talk, signal })
    await output.object(
      { name, rekeyed: true },
      { name, text: () => `${name} has another disk key` },
    )
  },
}
