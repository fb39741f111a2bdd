import { basename, join } from 'node:path'
import { DEFAULT_IMAGE, MANIFEST_FILE } from '@cloister/image/images'
import { verifyGuestImage } from '@cloister/image/verify'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'guest-image verify [NAME|MANIFEST]',
  details:
    'Builds the image again from the packages kept with it, in a place apart, and compares every figure of the manifest. Exit 2 when they differ.',
  positionals: [0, 1],
  async run({ positionals, directories, output, signal, verbose }) {
    const [what = DEFAULT_IMAGE] = positionals
    const path = what.includes('/') ? what : join(directories.images, what)
    const manifestPath = basename(path) === MANIFEST_FILE ? path : join(path, MANIFEST_FILE)
    const result = await verifyGuestImage(manifestPath, {
      signal,
      ...(verbose && { debugLog: output.talk }),
      onProgress: (step) => {
        output.talk(`  ${step}`)
      },
    })
    await output.object(
      { reproduced: result.reproduced, differences: result.differences },
      {
        name: String(result.reproduced),
        text: () =>
          result.reproduced
            ? 'reproduced: every byte is the same'
            : [
                'NOT reproduced:',
                ...result.differences.map(
                  ({ member, recorded, rebuilt }) =>
                    `  ${member}\n    recorded ${recorded ?? '-'}\n    rebuilt  ${rebuilt ?? '-'}`,
                ),
              ].join('\n'),
      },
    )
    return result.reproduced ? 0 : 2
  },
}
