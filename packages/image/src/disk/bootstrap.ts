/** Installs packages into an empty root by mmdebstrap, which works as root or, with user namespaces, without. */
import { fileURLToPath } from 'node:url'

import type { BuildContext } from '../run.ts'
import { run } from '../run.ts'
import { DISK_PACKAGES } from './debian-12.ts'

const CUSTOMIZE = fileURLToPath(new URL('../../disk/customize.sh', import.meta.url))

/** Kept out of the image: nobody reads manuals and translations there, and each is bytes to build, copy and encrypt. */
const LEFT_OUT = [
  '/usr/share/doc/*',
  '/usr/share/info/*',
  '/usr/share/locale/*',
  '/usr/share/man/*',
]
const KEPT = ['/usr/share/doc/*/copyright', '/usr/share/locale/locale.alias']

export interface Bootstrap {
  /** Line of apt's sources for the packages. */
  readonly source: string
  /** Directory whose files are laid over those of the packages. */
  readonly overlay: string
  /** Receives the root as a tar archive, in the order of names, no file newer than `epoch`. */
  readonly archive: string
  /** Seconds since 1970. */
  readonly epoch: number
}

export async function bootstrap(
  { source, overlay, archive, epoch }: Bootstrap,
  context: BuildContext,
): Promise<void> {
  const options = [
    '--mode=auto',
    '--variant=apt',
    '--format=tar',
    `--include=${DISK_PACKAGES.join(',')}`,
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...KEPT.map((path) => `--dpkgopt=path-include=${path}`),
    `--customize-hook=${CUSTOMIZE}`,
  ]
  // No suite is named: apt 3 finds none in a repository without a Release file, and mmdebstrap then takes no package for essential.
  await run('mmdebstrap', [...options, '', archive, source], {
    ...context,
    env: {
      LC_ALL: 'C.UTF-8',
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      OVERLAY: overlay,
      PYTHONHASHSEED: '0',
      SOURCE_DATE_EPOCH: `${epoch}`,
      ...(process.env['TMPDIR'] !== undefined && { TMPDIR: process.env['TMPDIR'] }),
    },
  })
}
