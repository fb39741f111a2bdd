import { textOption, type Command } from '../command.ts'
import { confirm } from '../confirm.ts'
import { installPackages } from '../setup/install-packages.ts'
import { missingRequirements, VM_REQUIREMENTS } from '../setup/requirements.ts'
import { importDiskImage } from '../vm/disk-catalogue.ts'

export const command: Command = {
  usage: 'vm import FILE NAME [--user NAME]',
  details:
    'Copies a disk image, raw or qcow2, into the catalogue, so that `vm create --image NAME` finds it. Images with a backing file or encryption are refused.',
  options: {
    user: { type: 'string', value: 'NAME', help: 'who `vm ssh` logs in as' },
    yes: { type: 'boolean', short: 'y', help: 'install missing programs without asking' },
  },
  positionals: [2, 2],
  async run(invocation) {
    const { directories, options, output, positionals, signal } = invocation
    const [file = '', name = ''] = positionals
    await installPackages(missingRequirements(VM_REQUIREMENTS), {
      confirm: async (question) => await confirm(question, options['yes'] === true, signal),
      talk: output.talk,
      signal,
    })
    const user = textOption(invocation, 'user')
    const entry = await importDiskImage(file, name, { directories, user, signal })
    await output.object(entry, { name, text: () => `${name}  sha256:${entry.sha256}` })
    output.talk(`next: cloister vm create NAME --image ${name}`)
  },
}
