import { join } from 'node:path'
import { textOption, type Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { milliseconds } from '../seconds-option.ts'
import { awaitVmSsh } from '../vm/await-vm-ssh.ts'
import { proveVm } from '../vm/prove/prove-vm.ts'
import { readIdentity } from '../vm/ssh-identity.ts'
import { openGuestShell } from '../vm/ssh-session.ts'
import { vmStateCell } from '../vm/vm-text.ts'

const WAIT_SECONDS = '180'

export const command: Command = {
  usage: 'vm prove NAME [--user NAME] [--wait SECONDS]',
  details:
    'Shows what the host sees: the guest makes a canary from a seed that it keeps, in memory and on disk; the host reads what it can of both; then the guest tells\nthe seed and the canary is searched. Needs ssh into the VM, with sh and coreutils there. A demonstration, never evidence, and no input to trust.',
  options: {
    user: { type: 'string', short: 'l', value: 'NAME', help: 'who to log in as' },
    wait: { type: 'string', value: 'SECONDS', help: `for the server; default ${WAIT_SECONDS}` },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const waitMs = milliseconds('wait', textOption(invocation, 'wait') ?? WAIT_SECONDS, 3600)
    const { vms } = await openHostd(invocation)
    const view = await vms.get(name, { signal })
    output.talk(`  waiting for ssh of ${name}, which is ${vmStateCell(view)}`)
    const target = await awaitVmSsh(view, vms, { timeoutMs: waitMs, output, signal })
    const known = await readIdentity(directories, name)
    const user = textOption(invocation, 'user')
    const session = { name, target, ...known, user, acceptsNewKey: false, command: ['sh'] }
    await using shell = openGuestShell(session, (text) => output.talk(text.trimEnd()), signal)
    const proof = await proveVm({
      view,
      runInGuest: (script) => shell.run(script),
      dumpMemory: () => vms.dumpMemory(name, { signal }),
      folder: join(directories.hostd, 'machines', view.id),
      dumps: join(directories.hostd, 'dumps'),
      onStep: (step) => {
        output.talk(`  ${step}`)
      },
      signal,
    })
    const { memory, disk, meaning } = proof
    const readable = memory.ranges.filter(({ isReadable }) => isReadable)
    const total = (ranges: readonly { bytes: number }[]) =>
      Math.round(ranges.reduce((sum, { bytes }) => sum + bytes, 0) / (1 << 20))
    await output.object(
      { name, ...proof },
      {
        name: `${memory.found + disk.found}`,
        text: () =>
          [
            `memory  ${memory.found} piece(s) found; ${total(readable)} of ${total(memory.ranges)} MiB could be read`,
            ...memory.ranges
              .filter(({ found }) => found > 0)
              .map(({ start, bytes, found }) => `  ${start}  ${bytes >> 20} MiB  ${found} found`),
            `disk    ${disk.found} piece(s) found`,
            '',
            meaning,
          ].join('\n'),
      },
    )
  },
}
