import type { Command } from '../command.ts'
import { beginKeyChange } from '../vm/begin-key-change.ts'
import { addRecoveryKey } from '../vm/disk-keys.ts'

export const command: Command = {
  usage: 'vm disk recovery-key NAME [--yes]',
  details:
    'Makes a recovery key for the encrypted disk and shows it once; keep it offline. It opens the disk without the broker, on any machine with\ncryptsetup. A recovery key that was made before opens nothing any more. The VM is started again to take it over.',
  options: { yes: { type: 'boolean', short: 'y', help: 'ask nothing' } },
  positionals: [1, 1],
  async run(invocation) {
    const { output } = invocation
    const { name, context } = await beginKeyChange(invocation)
    const recoveryKey = await addRecoveryKey(name, context)
    await output.object({ name, recoveryKey }, { name: recoveryKey, text: () => recoveryKey })
    output.talk('it is shown this once: write it down and keep it away from every machine')
  },
}
