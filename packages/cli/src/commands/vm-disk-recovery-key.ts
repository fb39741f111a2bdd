import { CloisterError } from '@cloister/protocol/error'
import type { Command } from '../command.ts'
import { confirm } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import { addRecoveryKey } from '../vm/disk-keys.ts'

export const command: Command = {
  usage: 'vm disk recovery-key NAME [--yes]',
  details:
    'Makes a recovery key for the encrypted disk and shows it once; keep it offline. It opens the disk without the broker, on any machine with\ncryptsetup. A recovery key that was made before opens nothing any more. The VM is started again to take it over.',
  options: { yes: { type: 'boolean', short: 'y', help: 'ask nothing' } },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    if (!(await confirm(`Restart ${name}?`, options['yes'] === true, signal)))
      throw new CloisterError('cli.declined')
    const broker = openBroker(directories, signal)
    const context = { directories, broker, hostd, talk: output.talk, signal }
    const recoveryKey = await addRecoveryKey(name, context)
    await output.object({ name, recoveryKey }, { name: recoveryKey, text: () => recoveryKey })
    output.talk('it is shown this once: write it down and keep it away from every machine')
  },
}
