import { rm } from 'node:fs/promises'
import { textOption, type Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { milliseconds } from '../seconds-option.ts'
import { awaitVmSsh } from '../vm/await-vm-ssh.ts'
import { readIdentity } from '../vm/ssh-identity.ts'
import { runSsh, sshTarget } from '../vm/ssh-session.ts'

/** An emulated Debian speaks ssh after half a minute. */
const WAIT_SECONDS = '180'

export const command: Command = {
  usage: 'vm ssh NAME [options] [-- COMMAND…]',
  details:
    'Waits for the ssh server, then runs ssh with the key of this VM; exit code and streams are those of the command, 255 when ssh itself failed.\nThe guest proves itself with the key that its seed gave it. The host knows that key, too: this keeps others out, not the host.',
  options: {
    user: { type: 'string', short: 'l', value: 'NAME', help: 'who to log in as' },
    wait: { type: 'string', value: 'SECONDS', help: `for the server; default ${WAIT_SECONDS}` },
    'accept-new-key': {
      type: 'boolean',
      help: 'learn the key of a guest whose image took none from the seed',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, options, output, positionals, rest, signal } = invocation
    const [name = ''] = positionals
    const waitMs = milliseconds('wait', textOption(invocation, 'wait') ?? WAIT_SECONDS, 3600)
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.get(name, { signal })
    // Before anything is forgotten: whether there is a way in at all.
    sshTarget(view)
    const known = await readIdentity(directories, name)
    const acceptsNewKey = options['accept-new-key'] === true
    if (acceptsNewKey) await rm(known.knownHosts, { force: true })
    const target = await awaitVmSsh(view, hostd.vms, { timeoutMs: waitMs, output, signal })
    const session = {
      name,
      target,
      ...known,
      user: textOption(invocation, 'user'),
      acceptsNewKey,
      command: rest,
    }
    return await runSsh(session, signal)
  },
}
