/**
 * The place for the image and the container's changes. With a scratch disk: dm-crypt with authentication (LUKS2, AES-XTS and
 * HMAC-SHA-256), whose key is made here and whose header lies in memory: nothing of it outlives the boot, and a block that the host
 * changes cannot be read. Without one: a tmpfs with a bound.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { CloisterError } from '@cloister/protocol/error'
import type { RunProgram } from '../guest/program.ts'

export interface ScratchOptions {
  /** Absent: there is no disk. */
  readonly device?: string
  readonly mountPoint: string
  readonly run: RunProgram
}

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

async function mountDisk(device: string, { mountPoint, run }: ScratchOptions): Promise<void> {
  const key = randomBytes(KEY_BYTES)
  try {
    await mkdir('/run/cloister', { recursive: true, mode: 0o700 })
    await rm(HEADER, { force: true })
    const common = ['--batch-mode', `--header=${HEADER}`, '--key-file=-']
    await must(run, ['cryptsetup', 'luksFormat', ...common, ...CIPHER, device], key)
    const flags = ['--integrity-no-journal', '--disable-keyring']
    await must(run, ['cryptsetup', 'open', ...common, ...flags, device, MAPPING], key)
  } finally {
    key.fill(0)
  }
  await zeroEnds(run)
  await must(run, [...MKFS, MAPPED])
  await must(run, ['busybox', 'mount', '-t', 'ext4', '-o', 'noatime,nodev', MAPPED, mountPoint])
}

async function zeroEnds(run: RunProgram): Promise<void> {
  const write = ['busybox', 'dd', 'if=/dev/zero', `of=${MAPPED}`, 'oflag=direct'] as const
  await must(run, [...write, 'bs=1048576', `count=${HEAD_MIB}`])
  const tail = Math.floor((await mappedBytes()) / 4096) - TAIL_KIB / 4
  if (tail <= 0) throw new CloisterError('agent.scratch-failed', { why: 'the disk is too small' })
  await must(run, [...write, 'bs=4096', `seek=${tail}`, `count=${TAIL_KIB / 4}`])
}

async function mappedBytes(): Promise<number> {
  for (const entry of await readdir('/sys/block')) {
    const place = `/sys/block/${entry}`
    const name = await readFile(`${place}/dm/name`, 'latin1').catch(() => '')
    // The kernel counts sectors of 512 bytes whatever the disk's are.
    if (name.trim() === MAPPING) return Number(await readFile(`${place}/size`, 'latin1')) * 512
  }
  throw new CloisterError('agent.scratch-failed', { why: 'the opened disk does not show' })
}

async function must(
  run: RunProgram,
  command: readonly [string, ...string[]],
  input?: Uint8Array,
): Promise<{ readonly said: string }> {
  const result = await run(command, input)
  if (result.status !== 0)
    throw new CloisterError('agent.scratch-failed', {
      where: command.slice(0, 2).join(' '),
      why: `status ${result.status}: ${result.said.slice(-300)}`,
    })
  return result
}
