/**
 * The place for the image and the container's changes. With a scratch disk: dm-crypt with authentication (LUKS2, AES-XTS and
 * HMAC-SHA-256), whose key is made here and whose header lies in memory: nothing of it outlives the boot, and a block that the host
 * changes cannot be read. Without one: a tmpfs with a bound.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { CloisterError } from '@cloister/protocol/error'
import type { RunOptions, RunProgram } from '../guest/program.ts'

export interface ScratchOptions {
  /** Absent: there is no disk. */
  readonly device?: string
  readonly mountPoint: string
  readonly run: RunProgram
}

/** Where it is mounted in the guest. */
export const SCRATCH = '/var/lib/cloister'
const HEADER = '/run/cloister/scratch.header'
const MAPPING = 'cloister-scratch'
const MAPPED = `/dev/mapper/${MAPPING}`
const KEY_BYTES = 64
const CIPHER = [
  '--type=luks2',
  '--cipher=aes-xts-plain64',
  '--key-size=512',
  '--integrity=hmac-sha256',
  '--integrity-no-wipe',
  '--sector-size=4096',
  // The key has full entropy: stretching it would only cost a second.
  '--pbkdf=pbkdf2',
  '--pbkdf-force-iterations=1000',
] as const
/** A block that was never written has no tag and cannot be read: those that mkfs and mount look at are zeroed. */
const HEAD_MIB = 2
const TAIL_KIB = 128
/** No journal and no spare superblocks: nothing here is read after the boot that wrote it. */
const MKFS = [
  'mkfs.ext4',
  '-q',
  '-O',
  '^has_journal,sparse_super2,^resize_inode',
  '-E',
  'num_backup_sb=0,nodiscard,lazy_itable_init=1',
  '-m',
  '0',
] as const
/** Part of the memory that a container without a scratch disk may fill with files. */
const MEMORY_SHARE = 0.5

/** @throws CloisterError `agent.scratch-failed` */
export async function makeScratch(options: ScratchOptions): Promise<void> {
  const { device, mountPoint } = options
  await mkdir(mountPoint, { recursive: true, mode: 0o700 })
  if (device === undefined) await mountMemory(options)
  else await mountDisk(device, options)
}

async function mountMemory({ mountPoint, run }: ScratchOptions): Promise<void> {
  const size = Math.floor(totalmem() * MEMORY_SHARE)
  const options = `size=${size},mode=0700,nosuid,nodev`
  await must(run, ['busybox', 'mount', '-t', 'tmpfs', '-o', options, 'tmpfs', mountPoint])
}

/**
 * All steps in one shell, for they wait for nothing but each other, and the agent has other things to do meanwhile: what it prints last is the step
 * that failed. The key comes twice, each time through a pipe of its own, and is nowhere else.
 */
const STEPS = `
step=cryptsetup-format
busybox cat <&3 | cryptsetup luksFormat --batch-mode --header="$header" --key-file=- $cipher "$device" &&
step=cryptsetup-open &&
busybox cat <&4 | cryptsetup open --batch-mode --header="$header" --key-file=- --integrity-no-journal --disable-keyring "$device" ${MAPPING} &&
step=size && blocks=$(($(busybox blockdev --getsize64 ${MAPPED}) / 4096)) && [ "$blocks" -gt ${(HEAD_MIB << 8) + TAIL_KIB / 4} ] &&
step=head && busybox dd if=/dev/zero of=${MAPPED} oflag=direct bs=1048576 count=${HEAD_MIB} &&
step=tail && busybox dd if=/dev/zero of=${MAPPED} oflag=direct bs=4096 seek=$((blocks - ${TAIL_KIB / 4})) count=${TAIL_KIB / 4} &&
step=mkfs && ${MKFS.join(' ')} ${MAPPED} &&
step=mount && busybox mount -t ext4 -o noatime,nodev ${MAPPED} "$mount" && exit 0
echo "at $step" >&2
exit 1
`

async function mountDisk(device: string, { mountPoint, run }: ScratchOptions): Promise<void> {
  const key = randomBytes(KEY_BYTES)
  try {
    await mkdir('/run/cloister', { recursive: true, mode: 0o700 })
    await rm(HEADER, { force: true })
    const settings = { header: HEADER, device, mount: mountPoint, cipher: CIPHER.join(' ') }
    await must(run, ['busybox', 'sh', '-c', STEPS], { settings, pipes: [key, key] })
  } finally {
    key.fill(0)
  }
}

async function must(
  run: RunProgram,
  command: readonly [string, ...string[]],
  options?: RunOptions,
): Promise<void> {
  const result = await run(command, undefined, options)
  if (result.status !== 0)
    throw new CloisterError('agent.scratch-failed', {
      where: command.slice(0, 2).join(' '),
      why: `status ${result.status}: ${result.said.slice(-300)}`,
    })
}
