import { CloisterError } from '@cloister/protocol/error'
import { SnapshotNameSchema } from '@cloister/protocol/hostd-vm-api'
import { textOption, type Command } from '../command.ts'
import { confirmGrave } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { badOption } from '../option-values.ts'

const ACTIONS = ['create', 'restore', 'delete'] as const

export const command: Command = {
  usage: 'vm snapshot NAME [--create|--restore|--delete SNAPSHOT]',
  details:
    'Snapshots of the disk of a VM at rest; without an option they are listed. UEFI variables and TPM are not in them.\nAn older disk that comes back is not noticed by anybody: what the guest had written since is lost, and what it had used up is there again.',
  options: {
    create: { type: 'string', value: 'SNAPSHOT', help: 'make one' },
    restore: {
      type: 'string',
      value: 'SNAPSHOT',
      help: 'put the disk back; what came since is lost',
    },
    delete: { type: 'string', value: 'SNAPSHOT', help: 'delete one' },
    yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { options, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const chosen = ACTIONS.filter((action) => textOption(invocation, action) !== undefined)
    const [action, ...more] = chosen
    if (more.length > 0)
      throw new CloisterError('cli.usage', {
        why: 'one thing at a time',
        expected: '--create, --restore or --delete',
      })
    const snapshot = action === undefined ? '' : (textOption(invocation, action) ?? '')
    if (action === 'create' && !SnapshotNameSchema.safeParse(snapshot).success)
      throw badOption('this is no name for a snapshot', 'a-z, 0-9 and -, at most 63', snapshot)
    const hostd = await openHostd(invocation)
    if (action === 'create') await hostd.vms.createSnapshot(name, snapshot, { signal })
    if (action === 'restore') {
      const question = `Put the disk of ${name} back to ${snapshot} and lose what came since?`
      if (!(await confirmGrave(question, options['yes'] === true, signal)))
        throw new CloisterError('cli.declined')
      await hostd.vms.restoreSnapshot(name, snapshot, { signal })
    }
    if (action === 'delete') await hostd.vms.deleteSnapshot(name, snapshot, { signal })
    await output.list(await hostd.vms.snapshots(name, { signal }), {
      name: (row) => row.name,
      columns: [
        { title: 'SNAPSHOT', cell: (row) => row.name },
        { title: 'MADE', cell: (row) => row.createdAt },
      ],
    })
    if (action === 'restore') output.talk(`next: cloister vm start ${name}`)
  },
}
