import { textOption, type Command } from '../command.ts'
import { REGISTRY_CA_OPTION, registryCaOption } from '../image/registry-ca.ts'
import { openImage } from '../workload/open-image.ts'

export const command: Command = {
  usage: 'image inspect IMAGE [--as NAME] [--registry-ca FILE]',
  options: {
    as: { type: 'string', value: 'NAME', help: 'name of a local image, host/repository' },
    ...REGISTRY_CA_OPTION,
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, directories, output, signal } = invocation
    const [image = ''] = positionals
    const registryCa = await registryCaOption(invocation)
    const as = textOption(invocation, 'as')
    using opened = await openImage(image, { directories, as, registryCa })
    const { inspectImage } = await import('@cloister/oci/inspect-image')
    const found = await inspectImage(opened.source, opened.from, { signal })
    await output.object(found, { name: found.digest, text: () => JSON.stringify(found, null, 2) })
  },
}
