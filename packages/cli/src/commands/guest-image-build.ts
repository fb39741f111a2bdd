import { buildGuestImage } from '@cloister/image/build'
import { textOption, type Command } from '../command.ts'

export const command: Command = {
  usage: 'guest-image build [--name NAME] [--refresh]',
  details:
    'Takes Debian packages by apt from the mirror of this machine. Without --refresh the packages kept from the last build are used again, which gives the\nsame bytes.',
  options: {
    name: { type: 'string', value: 'NAME', help: 'default base' },
    refresh: { type: 'boolean', help: 'fetch the newest packages' },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { directories, output, signal, verbose } = invocation
    const name = textOption(invocation, 'name')
    const manifest = await buildGuestImage({
      directories,
      ...(name !== undefined && { name }),
      refresh: invocation.options['refresh'] === true,
      signal,
      ...(verbose && { debugLog: output.talk }),
      onProgress: (step) => {
        output.talk(`  ${step}`)
      },
    })
    await output.object(manifest, {
      name: manifest.name,
      text: () =>
        `${manifest.name}  version ${manifest.imageVersion}  root hash ${manifest.root.verity.rootHash}`,
    })
    output.talk(`next: cloister measure, cloister guest-image verify ${manifest.name}`)
  },
}
