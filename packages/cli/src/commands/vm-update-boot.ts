import { resolve } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command, type CommandLine } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import { installPackages } from '../setup/install-packages.ts'
import { confirm } from '../confirm.ts'
import {
  MEASURED_VM_REQUIREMENTS,
  missingRequirements,
  VM_REQUIREMENTS,
} from '../setup/requirements.ts'
import { measuredTee, updateBoot, type KernelSource } from '../vm/update-boot.ts'

export const command: Command = {
  usage: 'vm update-boot NAME --image FILE|NAME | --kernel FILE --modules DIR [--yes]',
  details:
    'Gives a stopped VM with a measured boot another kernel: its boot bundle is made anew, its digests are registered at the broker, and from then on no\nkernel before gets its disk key, nor any other secret whose policy names the bundle. The disk is not touched. DIR is the folder of the modules, named by the kernel’s release.',
  options: {
    image: {
      type: 'string',
      value: 'FILE|NAME',
      help: 'disk image whose newest kernel is taken; nothing else of it is',
    },
    kernel: { type: 'string', value: 'FILE', help: 'kernel, such as /boot/vmlinuz-RELEASE' },
    modules: {
      type: 'string',
      value: 'DIR',
      help: 'its modules, such as /usr/lib/modules/RELEASE',
    },
    yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const [name = ''] = positionals
    const source = kernelSource(invocation)
    const hostd = await openHostd(invocation)
    measuredTee(await hostd.vms.get(name, { signal }))
    await installPackages(missingRequirements([...VM_REQUIREMENTS, ...MEASURED_VM_REQUIREMENTS]), {
      confirm: async (question) => await confirm(question, options['yes'] === true, signal),
      talk: output.talk,
      signal,
    })
    const broker = openBroker(directories, signal)
    const context = { directories, broker, hostd, talk: output.talk, signal }
    const updated = await updateBoot(name, source, context)
    await output.object(
      { name, ...updated },
      {
        name,
        text: () =>
          [
            `${name} boots kernel ${updated.kernel} from its next start; boot bundle ${updated.guestImage} version ${updated.imageVersion}`,
            ...updated.secrets.map((path) => `${path} goes to no kernel before it`),
          ].join('\n'),
      },
    )
    output.talk(`next: cloister vm start ${name}`)
  },
}

/** @throws CloisterError `cli.usage` */
function kernelSource(line: CommandLine): KernelSource {
  const image = textOption(line, 'image')
  const kernel = textOption(line, 'kernel')
  const modules = textOption(line, 'modules')
  if (image !== undefined && kernel === undefined && modules === undefined) return { image }
  if (image === undefined && kernel !== undefined && modules !== undefined)
    return { kernel: resolve(kernel), modules: resolve(modules) }
  throw new CloisterError('cli.usage', {
    expected: '--image, or both --kernel and --modules',
  })
}
