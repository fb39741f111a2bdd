import { CloisterError } from '@cloister/protocol/error'
import { HOSTD_LIMITS } from '@cloister/protocol/hostd-api'
import {
  isAtRest,
  VM_LIMITS,
  type ResizeVmRequest,
  type VmView,
} from '@cloister/protocol/hostd-vm-api'
import { textOption, type Command, type Invocation } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { count, mebibytes, processorId } from '../option-values.ts'
import { openBroker } from '../owner/broker-client.ts'
import { MACHINE_OPTIONS } from '../td-machine/machine-options.ts'
import { requireMeasuredCpus } from '../vm/measured-cpus.ts'
import type { ResizedMachine } from '../vm/renew-machine.ts'
import { cpusText, diskText } from '../vm/vm-text.ts'

export const command: Command = {
  usage: 'vm resize NAME [--cpus N] [--memory SIZE] [--disk SIZE]',
  details:
    'For a VM at rest. A disk only grows; the guest makes use of the room at its next boot, with cloud-init by itself. Memory and vCPUs are in what TDX measures of the machine: it is predicted\nanew, and the secrets go to it where all of it is known. Broken off, the same command again does the rest.',
  options: {
    cpus: { type: 'string', value: 'N', help: 'vCPUs' },
    memory: { type: 'string', short: 'm', value: 'SIZE', help: 'memory, such as 4G' },
    disk: { type: 'string', value: 'SIZE', help: 'size of the disk' },
    ...MACHINE_OPTIONS,
  },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, output, positionals, signal } = invocation
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
    const before = await hostd.vms.get(name, { signal })
    requireMeasuredCpus(before.tee, request.cpus ?? before.cpus)
    // Before anything is changed: it may not come about.
    const machine = await machineAfter(before, request, invocation)
    const view = await hostd.vms.resize(name, request, { signal })
    if (before.boot === 'direct' && request.cpus !== undefined) {
      const { keepCpus } = await import('../vm/sev/direct-boot.ts')
      await keepCpus(directories, name, request.cpus)
    }
    await output.object(view, {
      name,
      text: () => `${name}: ${cpusText(view.cpus)}, ${view.memoryMiB} MiB, ${diskText(view)}`,
    })
    for (const line of (await machine?.renew(() => openBroker(directories, signal))) ?? [])
      output.talk(line)
    output.talk(`next: cloister vm start ${name}`)
  },
}

/** Of a TD. Absent: nothing of what a TEE measures changes. */
async function machineAfter(
  { name, tee, state, ...before }: VmView,
  { cpus, memoryMiB }: ResizeVmRequest,
  invocation: Invocation,
): Promise<ResizedMachine | undefined> {
  const named = processorId(textOption(invocation, 'processor-id'))
  const machineFiles = textOption(invocation, 'machine-files')
  const isOfTdx = named !== undefined || machineFiles !== undefined
  if (tee !== 'tdx' && isOfTdx)
    throw new CloisterError('vm.combination-unfit', {
      received: `--processor-id or --machine-files with --tee ${tee}`,
      why: 'they speak of a register of TDX',
    })
  if (tee !== 'tdx' || (cpus === undefined && memoryMiB === undefined && !isOfTdx)) return undefined
  if (!isAtRest(state)) throw new CloisterError('vm.still-running', { where: name })
  const { resizedMachine } = await import('../vm/renew-machine.ts')
  const { directories, output, signal } = invocation
  const shape = {
    cpus: cpus ?? before.cpus,
    memoryMiB: memoryMiB ?? before.memoryMiB,
    processorId: named,
    machineFiles,
  }
  return await resizedMachine(name, shape, {
    directories,
    talk: (line) => output.talk(line),
    signal,
  })
}
