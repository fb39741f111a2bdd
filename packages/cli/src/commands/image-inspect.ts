import { textOption, type Command } from '../command.ts'
import { openImage } from '../workload/open-image.ts'

export const command: Command = {
  usage: 'image inspect IMAGE',
  options: {
    as: { type: 'string', value: 'NAME', help: 'name of a local image, host/repository' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, directories, output, signal } = invocation
    const [image = ''] = positionals
    using opened = await openImage(image, { directories, as: textOption(invocation, 'as') })
    const { inspectImage } = await import('@cloister/oci/inspect-image')
    const found = await inspectImage(opened.source, opened.from, { signal })
    await output.object(found, { name: found.digest, text: () => JSON.stringify(found, null, 2) })
  },
}
