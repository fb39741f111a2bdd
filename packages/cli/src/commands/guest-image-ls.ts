import { listGuestImages } from '@cloister/image/images'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'guest-image ls',
  positionals: [0, 0],
  async run({ directories, output }) {
    const images = (await listGuestImages(directories.images)).map(({ directory, manifest }) => ({
      name: manifest.name,
      imageVersion: manifest.imageVersion,
      kernel: manifest.kernel.release,
      rootHash: manifest.root.verity.rootHash,
      sizeBytes: manifest.root.size + manifest.initrd.size + manifest.kernel.size,
      directory,
    }))
    await output.list(images, {
      name: (image) => image.name,
      columns: [
        { title: 'NAME', cell: (image) => image.name },
        { title: 'VERSION', cell: (image) => String(image.imageVersion) },
        { title: 'KERNEL', cell: (image) => image.kernel },
        { title: 'ROOT HASH', cell: (image) => image.rootHash.slice(0, 16), spare: true },
        { title: 'SIZE', cell: (image) => `${Math.round(image.sizeBytes / 2 ** 20)} MiB` },
      ],
    })
  },
}
