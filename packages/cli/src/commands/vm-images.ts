import { CATALOGUE_IMAGES } from '@cloister/image/disk/catalogue'
import { textOption, type Command } from '../command.ts'
import { listDiskImages, removeDiskImage } from '../vm/disk-catalogue.ts'

export const command: Command = {
  usage: 'vm images [--rm NAME]',
  details:
    'Disk images for `vm create --image NAME`: imported ones, and those that Cloister builds from Debian packages, which are built at their first use.',
  options: {
    rm: { type: 'string', value: 'NAME', help: 'remove one; VMs made from it keep their copies' },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { directories, output } = invocation
    const doomed = textOption(invocation, 'rm')
    if (doomed !== undefined) await removeDiskImage(directories, doomed)
    const found = await listDiskImages(directories)
    const unbuilt = CATALOGUE_IMAGES.filter((name) => !found.some((entry) => entry.name === name))
    const rows = [
      ...found.map((entry) => ({ ...entry, isThere: true })),
      ...unbuilt.map((name) => ({ name, kind: 'built' as const, isThere: false })),
    ]
    await output.list(rows, {
      name: (row) => row.name,
      columns: [
        { title: 'NAME', cell: (row) => row.name },
        { title: 'KIND', cell: (row) => row.kind },
        {
          title: 'DISK',
          cell: (row) =>
            'virtualBytes' in row
              ? `${Math.ceil(row.virtualBytes / 2 ** 20)} MiB`
              : 'not built yet',
        },
        { title: 'USER', cell: (row) => ('user' in row ? (row.user ?? '-') : '-') },
        { title: 'SHA-256', cell: (row) => ('sha256' in row ? row.sha256.slice(0, 16) : '-') },
      ],
    })
  },
}
