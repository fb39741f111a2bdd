/** Writes the two file systems of a disk image, without a mount or a loop device. */
import { mkdir, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import type { BuildContext } from '../run.ts'
import { readContent } from '../files.ts'
import { runPackaged } from '../run-packaged.ts'
import { ESP_GRUB_CONFIGURATION, IDENTIFIERS } from './debian-12.ts'

const MIB = 1 << 20
const ESP_BYTES = 64 * MIB
/** Room for journal, inodes and the first boot; the root grows with the disk after that. */
const ROOT_SPARE_BYTES = 256 * MIB

/** Paths in packages of what the firmware starts; all of it signed by Debian, shim by Microsoft too. */
const SHIM = 'usr/lib/shim/shimx64.efi.signed'
const MOK_MANAGER = 'usr/lib/shim/mmx64.efi.signed'
const GRUB = 'usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed'

/**
 * Files of the ESP and what they are made of. shim starts the GRUB beside itself, and GRUB knows its configuration in `EFI/debian`. There is
 * no `fbx64.efi`: it would write boot entries into the firmware's variables, and every machine's first boot would be measured otherwise.
 */
const ESP_PROGRAMS: Readonly<Record<string, string>> = {
  'EFI/BOOT/BOOTX64.EFI': SHIM,
  'EFI/BOOT/grubx64.efi': GRUB,
  'EFI/BOOT/mmx64.efi': MOK_MANAGER,
  'EFI/debian/grubx64.efi': GRUB,
  'EFI/debian/mmx64.efi': MOK_MANAGER,
  'EFI/debian/shimx64.efi': SHIM,
}
const ESP_DIRECTORIES = ['EFI', 'EFI/BOOT', 'EFI/debian'] as const

export interface FileSystemOptions extends BuildContext {
  /** Tree of unpacked packages with mkfs.fat, mtools and mke2fs. */
  readonly tools: string
  /** Seconds since 1970: the time of everything. */
  readonly epoch: number
}

/**
 * @param packages - tree of unpacked packages with shim and GRUB
 * @param work - an empty directory
 */
export async function writeEsp(
  image: string,
  packages: string,
  work: string,
  options: FileSystemOptions,
): Promise<void> {
  const { tools, epoch } = options
  await writeFile(image, '')
  await truncate(image, ESP_BYTES)
  const call = (program: string, args: readonly string[]) =>
    runPackaged(tools, program, args, options, {
      SOURCE_DATE_EPOCH: `${epoch}`,
      TZ: 'UTC',
      MTOOLS_SKIP_CHECK: '1',
    })
  // `--invariant` would put its own volume number in the place of this one; SOURCE_DATE_EPOCH fixes what else varies.
  const shape = ['-F', '32', '-s', '1', '-n', 'ESP', '-i', IDENTIFIERS.espVolume]
  await call('usr/sbin/mkfs.fat', [...shape, image])
  for (const directory of ESP_DIRECTORIES)
    await call('usr/bin/mmd', ['-i', image, `::${directory}`])
  const put = async (path: string, content: string | Uint8Array) => {
    const source = join(work, path)
    await mkdir(dirname(source), { recursive: true })
    await writeFile(source, content)
    await utimes(source, epoch, epoch)
    await call('usr/bin/mcopy', ['-m', '-i', image, source, `::${path}`])
  }
  for (const [path, source] of Object.entries(ESP_PROGRAMS))
    await put(path, await readContent(packages, source))
  await put('EFI/debian/grub.cfg', ESP_GRUB_CONFIGURATION)
}

/** @param archive - the root as a tar archive, whose owners, modes and times are taken over */
export async function writeRoot(
  image: string,
  archive: string,
  { tools, epoch, ...context }: FileSystemOptions,
): Promise<void> {
  const content = (await stat(archive)).size
  const bytes = Math.ceil((content * 1.15 + ROOT_SPARE_BYTES) / MIB) * MIB
  const { rootFileSystem, directoryHash } = IDENTIFIERS
  const extended = `hash_seed=${directoryHash},lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0`
  // What GRUB 2.06 and Debian 12's own fsck do not know is left out.
  const features = '^orphan_file,^metadata_csum_seed'
  const identity = ['-U', rootFileSystem, '-L', 'root', '-E', extended, '-O', features]
  const shape = ['-q', '-F', '-t', 'ext4', '-m', '1', '-b', '4096']
  await writeFile(image, '')
  await truncate(image, bytes)
  await runPackaged(
    tools,
    'usr/sbin/mke2fs',
    [...shape, ...identity, '-d', archive, image],
    context,
    {
      // Without a locale the archive's reader refuses names that are not ASCII.
      LC_ALL: 'C.UTF-8',
      SOURCE_DATE_EPOCH: `${epoch}`,
      E2FSPROGS_FAKE_TIME: `${epoch}`,
      MKE2FS_CONFIG: join(tools, 'etc/mke2fs.conf'),
      TZ: 'UTC',
    },
  )
}
