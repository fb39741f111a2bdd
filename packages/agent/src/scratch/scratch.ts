/**
 * The place for the image and the container's changes. With a scratch disk: dm-crypt with authentication (AES-XTS and HMAC-SHA-256, tags
 * kept by dm-integrity), whose key is made here and is in the kernel's memory alone: nothing of it outlives the boot, and a block that the
 * host changes cannot be read. Without one: a tmpfs with a bound.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { basename } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { HASH_SEED_BYTES, setHashSeed } from '@cloister/protocol/ext4-superblock'
import {
  SCRATCH_BLOCK_BYTES,
  SCRATCH_TAG_BYTES,
  scratchBlocks,
} from '@cloister/protocol/scratch-space'
import { readScratchTemplate, TEMPLATE_HEAD_BLOCKS } from '@cloister/protocol/scratch-template'
import type { RunOptions, RunProgram } from '../guest/program.ts'
import { formatStep } from './format-step.ts'

export interface ScratchOptions {
  /** Absent: there is no disk. */
  readonly device?: string
  readonly mountPoint: string
  /** File of the image: a file system as mkfs would make it on a disk of the default size. */
  readonly template: string
  readonly run: RunProgram
  /** By default what the kernel says. */
  readonly diskBytes?: (device: string) => number
}

/** Where it is mounted in the guest. */
export const SCRATCH = '/var/lib/cloister'
const MAPPING = 'cloister-scratch'
const MAPPED = `/dev/mapper/${MAPPING}`
/** The root is the first; with a number of its own the table of the second mapping can name it. */
const TAGGED = { name: `${MAPPING}-tags`, minor: 1 } as const
/** Two of AES-256-XTS, one of HMAC-SHA-256, in the order of the kernel's `authenc`. */
const KEY_BYTES = 3 * 32
/** A backslash stands before a comma that is part of a table. */
const CIPHER = String.raw`capi:authenc(hmac(sha256)\,xts(aes))-plain64`
const HEX = '0123456789abcdef'
const SECTOR_BYTES = 512
const SECTORS_PER_BLOCK = 8
/**
 * A block that was never written has no tag and cannot be read, and the kernel must not try: so nothing is read ahead of the inodes that are asked for.
 * Nor need the tables of inodes be filled with zeros beforehand, 127 MiB on a disk of the default size.
 */
const MOUNT_OPTIONS = 'noatime,nodev,noinit_itable,inode_readahead_blks=0'
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

async function mountDisk(device: string, options: ScratchOptions): Promise<void> {
  const { mountPoint, template, run, diskBytes = kernelsDiskBytes } = options
  const blocks = scratchBlocks(diskBytes(device))
  const { plan, contents } = readTemplate(template)
  const script = steps(formatStep(blocks, plan, MAPPED))
  const key = hexKey()
  const mappings = mappingsOf(device, blocks, key)
  try {
    const settings = { device, mount: mountPoint }
    await must(run, ['busybox', 'sh', '-c', script], { settings, pipes: [mappings, contents] })
  } finally {
    key.fill(0)
    mappings.fill(0)
  }
}

/**
 * All steps in one shell, for they wait for nothing but each other, and the agent has other things to do meanwhile: what it prints last is the step
 * that failed. There is no header and no passphrase, which cryptsetup would take as long for as for all the rest: dm-integrity formats the disk whose
 * first block is zero, and the tables with the key come through a pipe and are nowhere else. While somebody has the mapping open, what was written to
 * it stays in memory, and mount need not read it.
 */
function steps(format: string): string {
  return `
step=clear && dd if=/dev/zero of="$device" oflag=direct bs=4096 count=1 &&
step=map && dmsetup create --concise <&3 &&
step=open && exec 5<${MAPPED} &&
${format} &&
step=mount && mount -t ext4 -o ${MOUNT_OPTIONS} ${MAPPED} "$mount" && exit 0
echo "at $step" >&2
exit 1
`
}

/** Both mappings for `dmsetup create --concise`: name, UUID (none), minor number (the second: any), flags and table of each. */
function mappingsOf(device: string, blocks: number, key: Uint8Array): Buffer {
  const range = `0 ${blocks * SECTORS_PER_BLOCK}`
  const { name, minor } = TAGGED
  const integrity = `${range} integrity ${device} 0 ${SCRATCH_TAG_BYTES} D 3 journal_sectors:1 block_size:4096 fix_padding`
  const aead = `0 /dev/dm-${minor} 0 2 integrity:${SCRATCH_TAG_BYTES}:aead sector_size:4096`
  return Buffer.concat([
    Buffer.from(`${name},,${minor},rw,${integrity};${MAPPING},,,rw,${range} crypt ${CIPHER} `),
    key,
    Buffer.from(` ${aead}`),
  ])
}

/** The template, and its blocks with a seed that is new in each boot: who chooses names of files is not to know by what they are hashed. */
function readTemplate(file: string) {
  try {
    const bytes = readFileSync(file)
    const plan = readScratchTemplate(bytes)
    const contents = bytes.subarray(TEMPLATE_HEAD_BLOCKS * SCRATCH_BLOCK_BYTES)
    setHashSeed(contents, randomBytes(HASH_SEED_BYTES))
    return { plan, contents }
  } catch (cause) {
    throw new CloisterError('agent.scratch-failed', { where: file, cause })
  }
}

function kernelsDiskBytes(device: string): number {
  const file = `/sys/class/block/${basename(device)}/size`
  try {
    return SECTOR_BYTES * Number(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new CloisterError('agent.scratch-failed', { where: file, cause })
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
