/**
 * The place for the image and the container's changes. With a scratch disk: dm-crypt with authentication (AES-XTS and HMAC-SHA-256, tags
 * kept by dm-integrity), whose key is made here and is in the kernel's memory alone: nothing of it outlives the boot, and a block that the
 * host changes cannot be read. Without one: a tmpfs with a bound.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { totalmem } from 'node:os'
import { basename } from 'node:path'
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
const MAPPING = 'cloister-scratch'
const MAPPED = `/dev/mapper/${MAPPING}`
const TAGGED = `${MAPPING}-tags`
/** Two of AES-256-XTS, one of HMAC-SHA-256, in the order of the kernel's `authenc`. */
const KEY_BYTES = 3 * 32
const CIPHER = 'capi:authenc(hmac(sha256),xts(aes))-plain64'
const TAG_BYTES = 32
const HEX = '0123456789abcdef'
const SECTORS_PER_BLOCK = 8
/** Of its superblock and a journal that is never used dm-integrity needs less; a tag for each block comes on top. */
const RESERVED_SECTORS = 2048
const BLOCKS_PER_TAG_BLOCK = 4096 / TAG_BYTES
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
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 })
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
 * that failed. There is no header and no passphrase, which cryptsetup would take as long for as for all the rest: dm-integrity formats the disk whose
 * first block is zero, and the table with the key comes through a pipe and is nowhere else.
 */
const STEPS = `
step=size && read -r sectors <"$size" && whole=$(((sectors - ${RESERVED_SECTORS}) / ${SECTORS_PER_BLOCK})) &&
blocks=$((whole - whole / ${BLOCKS_PER_TAG_BLOCK + 1} - 1)) && [ "$blocks" -gt ${(HEAD_MIB << 8) + TAIL_KIB / 4} ] && length=$((blocks * ${SECTORS_PER_BLOCK})) &&
step=clear && busybox dd if=/dev/zero of="$device" oflag=direct bs=4096 count=1 &&
step=integrity && dmsetup create ${TAGGED} --table "0 $length integrity $device 0 ${TAG_BYTES} D 3 journal_sectors:1 block_size:4096 fix_padding" &&
step=crypt && { printf '0 %s crypt ${CIPHER} ' "$length" && busybox cat <&3 && printf ' 0 /dev/mapper/${TAGGED} 0 2 integrity:${TAG_BYTES}:aead sector_size:4096\\n'; } | dmsetup create ${MAPPING} &&
step=head && busybox dd if=/dev/zero of=${MAPPED} oflag=direct bs=1048576 count=${HEAD_MIB} &&
step=tail && busybox dd if=/dev/zero of=${MAPPED} oflag=direct bs=4096 seek=$((blocks - ${TAIL_KIB / 4})) count=${TAIL_KIB / 4} &&
step=mkfs && ${MKFS.join(' ')} ${MAPPED} &&
step=mount && busybox mount -t ext4 -o noatime,nodev ${MAPPED} "$mount" && exit 0
echo "at $step" >&2
exit 1
`

async function mountDisk(device: string, { mountPoint, run }: ScratchOptions): Promise<void> {
  const key = hexKey()
  try {
    const settings = {
      device,
      size: `/sys/class/block/${basename(device)}/size`,
      mount: mountPoint,
    }
    await must(run, ['busybox', 'sh', '-c', STEPS], { settings, pipes: [key] })
  } finally {
    key.fill(0)
  }
}

/** Made byte by byte, for a string could not be cleared. */
function hexKey(): Buffer {
  const bytes = randomBytes(KEY_BYTES)
  const hex = Buffer.alloc(2 * KEY_BYTES)
  for (const [index, byte] of bytes.entries()) {
    hex[2 * index] = HEX.charCodeAt(byte >> 4)
    hex[2 * index + 1] = HEX.charCodeAt(byte & 15)
  }
  bytes.fill(0)
  return hex
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
