import { CloisterError } from '@cloister/protocol/error'
import { isAtRest, type VmView } from '@cloister/protocol/hostd-vm-api'
import type { Command } from '../command.ts'
import { confirmGrave } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import { forgetVm } from '../vm/forget-vm.ts'
import { removeIdentity } from '../vm/ssh-identity.ts'

export const command: Command = {
  usage: 'vm rm NAME… [--force] [--yes]',
  details:
    'Removes VMs with their disks, TPMs, logs, ssh keys and, at the broker, the keys of their disks. There is no way back.',
  options: {
    force: { type: 'boolean', help: 'end it first when it runs' },
    yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
  },
  positionals: [1, 100],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const hostd = await openHostd(invocation)
    const views = new Map<string, VmView>()
    for (const name of positionals) views.set(name, await hostd.vms.get(name, { signal }))
    // Before the question: a yes would come to nothing.
    const running = [...views.values()].find(({ state }) => !isAtRest(state))
    if (running !== undefined && options['force'] !== true)
      throw new CloisterError('vm.still-running', {
        where: running.name,
        fix: [`cloister vm stop ${running.name}`, `cloister vm rm ${running.name} --force`],
      })
    const question = `Remove ${positionals.join(', ')} with all data?`
    if (!(await confirmGrave(question, options['yes'] === true, signal)))
      throw new CloisterError('cli.declined')
    for (const name of positionals) {
      if (options['force'] === true) await hostd.vms.stop(name, { force: true }, { signal })
      await hostd.vms.remove(name, { signal })
      await removeIdentity(directories, name)
      if (views.get(name)?.boot === 'measured')
        await forgetVm(name, directories, openBroker(directories, signal))
    }
    await output.list(
      positionals.map((name) => ({ name })),
      { name: (row) => row.name, columns: [{ title: 'REMOVED', cell: (row) => row.name }] },
    )
  },
}
