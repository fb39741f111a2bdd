import { CloisterError } from '@cloister/protocol/error'
import { isAtRest, type VmView } from '@cloister/protocol/hostd-vm-api'
import type { Command, Invocation } from '../command.ts'
import { confirmGrave } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import type { BrokerClient } from '../owner/broker-client.ts'
import { ensureBroker } from '../owner/local-broker.ts'
import { diskKeysOf, forgetVm } from '../vm/forget-vm.ts'
import { removeIdentity } from '../vm/ssh-identity.ts'

export const command: Command = {
  usage: 'vm rm NAME… [--force] [--keep-disk-key] [--yes]',
  details:
    'Removes VMs with their disks, TPMs, logs and ssh keys and, at the broker, what vm create registered for them: workload, boot bundle, secrets. The key of an encrypted disk goes too, after which copies of the disk cannot be read any more, unless it is kept by --keep-disk-key. There is no way back.',
  options: {
    force: { type: 'boolean', help: 'end it first when it runs' },
    'keep-disk-key': {
      type: 'boolean',
      help: 'the broker keeps the keys of encrypted disks, for copies that you have; it releases them to nobody meanwhile',
    },
    yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
  },
  positionals: [1, 100],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const hostd = await openHostd(invocation)
    const views: VmView[] = []
    for (const name of new Set(positionals)) views.push(await hostd.vms.get(name, { signal }))
    // Before the question: a yes would come to nothing.
    const running = views.find(({ state }) => !isAtRest(state))
    if (running !== undefined && options['force'] !== true)
      throw new CloisterError('vm.still-running', {
        where: running.name,
        fix: [`cloister vm stop ${running.name}`, `cloister vm rm ${running.name} --force`],
      })
    const broker = await brokerOf(views, invocation)
    const keepDiskKeys = options['keep-disk-key'] === true
    const question = await questionFor(views, broker, keepDiskKeys)
    if (!(await confirmGrave(question, options['yes'] === true, signal)))
      throw new CloisterError('cli.declined', { why: `no yes came to: ${question}` })
    const removed: { name: string; keptSecrets: string[] }[] = []
    for (const { name, boot } of views) {
      if (options['force'] === true) await hostd.vms.stop(name, { force: true }, { signal })
      await hostd.vms.remove(name, { signal })
      await removeIdentity(directories, name)
      const isRegistered = boot === 'measured' && broker !== undefined
      const keptSecrets = isRegistered
        ? await forgetVm(name, { directories, broker, keepDiskKeys })
        : []
      for (const path of keptSecrets)
        output.talk(`kept at the broker: ${path}, until: cloister secret rm ${path}`)
      removed.push({ name, keptSecrets })
    }
    await output.list(removed, {
      name: (row) => row.name,
      columns: [{ title: 'REMOVED', cell: (row) => row.name }],
    })
  },
}

/** Absent: nothing of them is registered. @throws CloisterError `owner.broker-*` rather than leave behind what only the broker knows */
async function brokerOf(
  views: readonly VmView[],
  { directories, output, signal }: Invocation,
): Promise<BrokerClient | undefined> {
  if (!views.some(({ boot }) => boot === 'measured')) return undefined
  return await ensureBroker(directories, signal, { talk: output.talk })
}

/** Names what cannot be had back: a yes to the disk alone is no yes to its copies. */
async function questionFor(
  views: readonly VmView[],
  broker: BrokerClient | undefined,
  keepDiskKeys: boolean,
): Promise<string> {
  const names = views.map(({ name }) => name).join(', ')
  const question = `Remove ${names} with all data`
  if (broker === undefined || keepDiskKeys) return `${question}?`
  const sealed: string[] = []
  for (const { name, boot } of views)
    if (boot === 'measured' && (await diskKeysOf(name, broker)).length > 0) sealed.push(name)
  if (sealed.length === 0) return `${question}?`
  return `${question}, and the disk keys of ${sealed.join(', ')}, without which copies of the disks are noise?`
}
