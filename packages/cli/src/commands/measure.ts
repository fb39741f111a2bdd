import { checkGuestImage, DEFAULT_IMAGE, loadGuestImage } from '@cloister/image/images'
import { predictions } from '@cloister/image/predictions'
import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command } from '../command.ts'

const MODES = ['hardware', 'simulated', 'debug'] as const

interface Row {
  readonly mode: string
  readonly vcpuType: string
  readonly vcpus: number
  readonly launchDigest: string
}

export const command: Command = {
  usage: 'measure [IMAGE] [--mode MODE] [--cpus N] [--vcpu-type TYPE]',
  details:
    'Predicts the SNP launch digest of a guest image from its firmware, kernel, initrd and command line, for each vCPU type and count. No QEMU and no\nprocessor takes part. Modes are different command lines, so different digests: only hardware counts under AMD.',
  options: {
    mode: { type: 'string', value: 'MODE', help: `${MODES.join(', ')}; default all` },
    cpus: { type: 'string', value: 'N', help: 'only this vCPU count' },
    'vcpu-type': {
      type: 'string',
      value: 'TYPE',
      help: 'only this QEMU vCPU type, such as EPYC-v4',
    },
  },
  positionals: [0, 1],
  async run(invocation) {
    const { positionals, directories, output } = invocation
    const image = await loadGuestImage(`${directories.images}/${positionals[0] ?? DEFAULT_IMAGE}`)
    // The digests of kernel and initrd come from the manifest, so the files must be those.
    await checkGuestImage(image)
    const mode = textOption(invocation, 'mode')
    const cpus = textOption(invocation, 'cpus')
    const vcpuType = textOption(invocation, 'vcpu-type')
    const rows = flatten(await predictions(image.directory, image.manifest)).filter(
      (row) =>
        (mode === undefined || row.mode === mode) &&
        (cpus === undefined || row.vcpus === Number(cpus)) &&
        (vcpuType === undefined || row.vcpuType === vcpuType),
    )
    if (rows.length === 0)
      throw new CloisterError('cli.usage', {
        why: 'no launch digest is known for this mode, vCPU type and count',
      })
    await output.list(rows, {
      name: (row) => row.launchDigest,
      columns: [
        { title: 'MODE', cell: (row) => row.mode },
        { title: 'VCPU TYPE', cell: (row) => row.vcpuType },
        { title: 'VCPUS', cell: (row) => String(row.vcpus) },
        { title: 'LAUNCH DIGEST', cell: (row) => row.launchDigest },
      ],
    })
  },
}

function flatten(expected: Awaited<ReturnType<typeof predictions>>): Row[] {
  return MODES.flatMap((mode) =>
    Object.entries(expected[mode]).flatMap(([vcpuType, counts]) =>
      Object.entries(counts).map(([vcpus, launchDigest]) => ({
        mode,
        vcpuType,
        vcpus: Number(vcpus),
        launchDigest,
      })),
    ),
  )
}
