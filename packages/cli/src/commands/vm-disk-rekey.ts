import type { Command } from '../command.ts'
import { beginKeyChange } from '../vm/begin-key-change.ts'
import { rekeyDisk } from '../vm/disk-keys.ts'

export const command: Command = {
  usage: 'vm disk rekey NAME [--yes]',
  details:
    'Gives the encrypted disk another key: the VM is started again, takes it over, and the old one opens nothing any more.\nThe data is not encrypted anew: whoever copied the disk and had the old key can still read that copy.',
  options: { yes: { type: 'boolean', short: 'y', help: 'ask nothing' } },
  positionals: [1, 1],
  async run(invocation) {
    const { output } = invocation
    const { name, context } = await beginKeyChange(invocation)
    await rekeyDisk(name, context)
    await output.object(
      { name, rekeyed: true },
      { name, text: () => `${name} has another disk key` },
    )
  },
}
