import { CloisterError } from '@cloister/protocol/error'
import { HOSTD_LIMITS } from '@cloister/protocol/hostd-api'
import { VM_LIMITS } from '@cloister/protocol/hostd-vm-api'
import { textOption, type Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { count, mebibytes } from '../option-values.ts'
import { cpusText } from '../vm/vm-text.ts'

export const command: Command = {
  usage: 'vm resize NAME [--cpus N] [--memory SIZE] [--disk SIZE]',
  details:
    'For a VM at rest. A disk only grows; the guest makes use of the room at its next boot, with cloud-init by itself.',
  options: {
    cpus: { type: 'string', value: 'N', help: 'vCPUs' },
    memory: { type: 'string', short: 'm', value: 'SIZE', help: 'memory, such as 4G' },
    disk: { type: 'string', value: 'SIZE', help: 'size of the disk' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const cpus = textOption(invocation, 'cpus')
    const memory = textOption(invocation, 'memory')
    const disk = textOption(invocation, 'disk')
    if (cpus === undefined && memory === undefined && disk === undefined)
      throw new CloisterError('cli.usage', {
        why: 'nothing is to be changed',
        expected: '--cpus, --memory or --disk',
      })
    const request = {
      ...(cpus !== undefined && { cpus: count('cpus', cpus, HOSTD_LIMITS.cpus) }),
      ...(memory !== undefined && {
        memoryMiB: mebibytes('memory', memory, HOSTD_LIMITS.memoryMiB),
      }),
      ...(disk !== undefined && { diskMiB: mebibytes('disk', disk, VM_LIMITS.diskMiB) }),
    }
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.resize(name, request, { signal })
    await output.object(view, {
      name,
      text: () =>
        `${name}: ${cpusText(view.cpus)}, ${view.memoryMiB} MiB, disk ${view.diskMiB} MiB`,
    })
    output.talk(`next: cloister vm start ${name}`)
  },
}
