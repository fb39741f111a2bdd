/** What the commands that change the keys of an encrypted disk begin with: the VM is started again for it, which its owner is asked first. */
import { CloisterError } from '@cloister/protocol/error'
import type { Invocation } from '../command.ts'
import { confirm } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { DiskKeyContext } from './disk-keys.ts'

/** @throws CloisterError `cli.declined` */
export async function beginKeyChange(
  invocation: Invocation,
): Promise<{ name: string; context: DiskKeyContext }> {
  const { directories, options, output, positionals, signal } = invocation
  const [name = ''] = positionals
  const hostd = await openHostd(invocation)
  if (!(await confirm(`Restart ${name}?`, options['yes'] === true, signal)))
    throw new CloisterError('cli.declined')
  const broker = openBroker(directories, signal)
  return { name, context: { directories, broker, hostd, talk: output.talk, signal } }
}
