/** What the commands that change the keys of an encrypted disk begin with: the VM is started again for it, which its owner is asked first. */
import { CloisterError } from '@cloister/protocol/error'
import type { Invocation } from '../command.ts'
import { confirm } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import { requireDiskSecret, type DiskKeyContext } from './disk-keys.ts'

/** @throws CloisterError `vm.not-found`, `vm-boot.not-encrypted`, `owner.broker-*`, `cli.declined` */
export async function beginKeyChange(
  invocation: Invocation,
): Promise<{ name: string; context: DiskKeyContext }> {
  const { directories, options, output, positionals, signal } = invocation
  const [name = ''] = positionals
  const hostd = await openHostd(invocation)
  const { boot } = await hostd.vms.get(name, { signal })
  if (boot !== 'measured') throw new CloisterError('vm-boot.not-encrypted', { where: name })
  const broker = openBroker(directories, signal)
  await requireDiskSecret(name, broker)
  if (!(await confirm(`Restart ${name}?`, options['yes'] === true, signal)))
    throw new CloisterError('cli.declined')
  return { name, context: { directories, broker, hostd, talk: output.talk, signal } }
}
