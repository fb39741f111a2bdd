/**
 * Opens the encrypted system disk of a VM, or makes it from a prepared one at the first boot. What the host gives is looked at in this order:
 * label and header by their MAC, the header's content by our own reader, dm-integrity's superblock by its digest. Only then does cryptsetup
 * see a copy of the header in the guest's memory, and the kernel the encrypted area.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { diskKeys, wipeKeys, type DiskKeys } from '@cloister/protocol/sealed-disk/keys'
import type { DiskLabel } from '@cloister/protocol/sealed-disk/label'
import {
  SEALED_DISK,
  SEALED_HEADER,
  SEALED_HEADER_BYTES,
} from '@cloister/protocol/sealed-disk/layout'
import type { VmWorkload } from '@cloister/protocol/vm-workload'
import type { RunProgram } from '../guest/program.ts'
import { readExactly, readSlot, replaceSlot, writeAll, type DiskSlot } from './disk-slots.ts'
import { checkLuks2Header, Luks2HeaderError } from './luks2-header.ts'
import { copySource } from './source-copy.ts'

type SealedDisk = Extract<VmWorkload['vm']['disk'], { kind: 'sealed' }>

/** What the broker released. */
export interface DiskSecrets {
  readonly current: Uint8Array
  /** Absent: the disk keeps its key. */
  readonly next?: Uint8Array | undefined
  /** Absent: the disk gets no recovery key. */
  readonly recovery?: Uint8Array | undefined
}

export interface SealedDiskOptions {
  readonly device: string
  readonly disk: SealedDisk
  readonly secrets: DiskSecrets
  readonly run: RunProgram
  /** On tmpfs, for the header and, for a moment, a passphrase. */
  readonly runDirectory: string
  readonly onInstall: (share: number) => void
}

const AREA = 'cloister-area'
const OPENED = 'cloister-system'
export const OPENED_DISK = `/dev/mapper/${OPENED}`
/** Slots of keys: which are in use says nothing of whose they are, so each kind has its own number. */
const KEYSLOT = { first: 0, recovery: 1, second: 2 } as const
const KDF = [
  // Passphrases have full entropy: stretching them would only cost a second.
  '--pbkdf=pbkdf2',
  '--pbkdf-force-iterations=1000',
  '--hash=sha256',
] as const
const FORMAT = [
  '--type=luks2',
  '--cipher=aes-xts-plain64',
  '--key-size=512',
  '--integrity=hmac-sha256',
  '--integrity-no-wipe',
  `--sector-size=${SEALED_DISK.sectorBytes}`,
  `--luks2-metadata-size=${SEALED_HEADER.metadataBytes}`,
  `--luks2-keyslots-size=${SEALED_HEADER.keyslotsBytes}`,
  ...KDF,
] as const
const SECTOR = 512
/** Beyond all places where libblkid looks for marks of RAID and file systems. */
const END_BYTES = 4 << 20

/** @throws CloisterError `agent.disk-*`. Afterwards the disk is at {@link OPENED_DISK} */
export async function openSealedDisk(options: SealedDiskOptions): Promise<void> {
  const { device, disk, secrets } = options
  const keys = keysOf(secrets.current, disk)
  const next = secrets.next === undefined ? undefined : keysOf(secrets.next, disk)
  try {
    const all = next === undefined ? [keys] : [keys, next]
    const slot = await readSlot(
      device,
      all.map(({ mac }) => mac),
    )
    requireOwn(slot.label, disk)
    const work = new Work(options)
    if (slot.label.kind === 'prepared') await work.install(slot, all[slot.key]!)
    else await work.open(slot, all[slot.key]!, all[all.length - 1]!)
  } finally {
    wipeKeys(keys)
    if (next !== undefined) wipeKeys(next)
  }
}

function keysOf(secret: Uint8Array, { id, key }: SealedDisk): DiskKeys {
  try {
    return diskKeys(secret, id)
  } catch (cause) {
    throw new CloisterError('agent.resource-malformed', { where: key, cause })
  }
}

/** A label of this key that is about another disk, or another size, than the initdata names. */
function requireOwn(label: DiskLabel, { id, dataBytes }: SealedDisk): void {
  if (label.id === id && label.dataBytes === dataBytes) return
  throw new CloisterError('agent.disk-label', {
    expected: `disk ${id} of ${dataBytes} bytes`,
    received: `disk ${label.id} of ${label.dataBytes} bytes`,
  })
}

class Work {
  readonly #options: SealedDiskOptions
  readonly #header: string

  constructor(options: SealedDiskOptions) {
    this.#options = options
    this.#header = join(options.runDirectory, 'system.header')
  }

  /** The first boot: a new encrypted area, filled with what the owner prepared. */
  async install(slot: DiskSlot, keys: DiskKeys): Promise<void> {
    const { device, disk, onInstall } = this.#options
    const { label } = slot
    await mkdir(this.#options.runDirectory, { recursive: true, mode: 0o700 })
    await rm(this.#header, { force: true })
    await this.#mapArea()
    await this.#cryptsetup(
      [
        'luksFormat',
        '--batch-mode',
        ...FORMAT,
        `--key-slot=${KEYSLOT.first}`,
        `/dev/mapper/${AREA}`,
      ],
      keys.passphrase,
    )
    // Without its journal: what is half copied when the power goes is copied again.
    await this.#openArea(keys, ['--integrity-no-journal'])
    const openedBytes = await mappedBytes(OPENED)
    onInstall(0)
    await zeroEnd(OPENED_DISK, openedBytes)
    await copySource({
      device,
      offset: SEALED_DISK.dataOffset + disk.dataBytes,
      bytes: label.sourceBytes,
      key: keys.source,
      sha256: disk.source,
      target: OPENED_DISK,
      targetBytes: openedBytes,
      onProgress: onInstall,
    })
    await this.#must(['cryptsetup', 'close', OPENED])
    const sealed: DiskLabel = {
      ...label,
      kind: 'sealed',
      generation: label.generation + 1,
      sourceBytes: 0,
      headerBytes: SEALED_HEADER_BYTES,
      openedBytes,
      superblock: await this.#superblock(),
    }
    const written = {
      label: sealed,
      header: await this.#readHeader(),
      index: 1 - slot.index,
      key: 0,
    }
    await replaceSlot(device, slot, written, keys.mac)
    await this.#discardSource(label.sourceBytes)
    await this.open(written, keys, keys)
  }

  /** @param wanted - the keys that it is to have from now on; those it has when nothing changes */
  async open(slot: DiskSlot, keys: DiskKeys, wanted: DiskKeys): Promise<void> {
    this.#checkHeader(slot.header)
    await mkdir(this.#options.runDirectory, { recursive: true, mode: 0o700 })
    await writeFile(this.#header, slot.header, { mode: 0o600 })
    await this.#mapArea()
    const received = await this.#superblock()
    if (received !== slot.label.superblock)
      throw new CloisterError('agent.disk-header', {
        why: 'the superblock of the encrypted area is not the one that was made with it',
        expected: slot.label.superblock,
        received,
      })
    await this.#changeKeys(slot, keys, wanted)
    await this.#openArea(wanted, [])
    const openedBytes = await mappedBytes(OPENED)
    if (openedBytes !== slot.label.openedBytes)
      throw new CloisterError('agent.disk-header', {
        why: 'the opened disk has another size',
        expected: String(slot.label.openedBytes),
        received: String(openedBytes),
      })
  }

  /** Gives the disk its next key and its recovery key where the broker has one; the header in force goes only when the new one is durable. */
  async #changeKeys(slot: DiskSlot, keys: DiskKeys, wanted: DiskKeys): Promise<void> {
    const { device, secrets } = this.#options
    const { keyslots } = checkLuks2Header(slot.header)
    const isNew = wanted !== keys
    const needsRecovery =
      secrets.recovery !== undefined && !(await this.#opens(secrets.recovery, KEYSLOT.recovery))
    if (!isNew && !needsRecovery) return
    if (secrets.recovery !== undefined && needsRecovery) {
      if (keyslots.includes(String(KEYSLOT.recovery))) await this.#killSlot(KEYSLOT.recovery, keys)
      await this.#addKey(secrets.recovery, KEYSLOT.recovery, keys)
    }
    if (isNew) {
      const used = keyslots.includes(String(KEYSLOT.first)) ? KEYSLOT.first : KEYSLOT.second
      const free = used === KEYSLOT.first ? KEYSLOT.second : KEYSLOT.first
      await this.#addKey(wanted.passphrase, free, keys)
      await this.#killSlot(used, wanted)
    }
    const header = await this.#readHeader()
    this.#checkHeader(header)
    const label = { ...slot.label, generation: slot.label.generation + 1 }
    await replaceSlot(device, slot, { label, header }, wanted.mac)
  }

  async #opens(passphrase: Uint8Array, slot: number): Promise<boolean> {
    const command = ['cryptsetup', 'open', '--test-passphrase', `--key-slot=${slot}`] as const
    const { status } = await this.#options.run(
      [...command, ...this.#detached(), `/dev/mapper/${AREA}`],
      passphrase,
    )
    return status === 0
  }

  async #addKey(passphrase: Uint8Array, slot: number, keys: DiskKeys): Promise<void> {
    const file = join(this.#options.runDirectory, `key-${randomBytes(4).toString('hex')}`)
    await writeFile(file, passphrase, { mode: 0o600, flag: 'wx' })
    try {
      await this.#cryptsetup(
        [
          'luksAddKey',
          '--batch-mode',
          ...KDF,
          `--new-key-slot=${slot}`,
          `/dev/mapper/${AREA}`,
          file,
        ],
        keys.passphrase,
      )
    } finally {
      await rm(file, { force: true })
    }
  }

  async #killSlot(slot: number, keys: DiskKeys): Promise<void> {
    await this.#cryptsetup(
      ['luksKillSlot', '--batch-mode', `/dev/mapper/${AREA}`, String(slot)],
      keys.passphrase,
    )
  }

  /** The encrypted area as a device of its own: nothing before and behind it is in cryptsetup's reach. */
  async #mapArea(): Promise<void> {
    const { device, disk } = this.#options
    const table = `0 ${disk.dataBytes / SECTOR} linear ${device} ${SEALED_DISK.dataOffset / SECTOR}`
    if (!(await isMapped(AREA))) await this.#must(['dmsetup', 'create', AREA, '--table', table])
  }

  async #openArea(keys: DiskKeys, flags: readonly string[]): Promise<void> {
    const command = ['open', '--type=luks2', '--disable-keyring', ...flags]
    await this.#cryptsetup([...command, `/dev/mapper/${AREA}`, OPENED], keys.passphrase)
  }

  async #superblock(): Promise<string> {
    await using area = await open(`/dev/mapper/${AREA}`, 'r')
    const bytes = await readExactly(area, 0, SEALED_DISK.integritySuperblockBytes)
    return createHash('sha256')
      .update(bytes ?? '')
      .digest('hex')
  }

  async #readHeader(): Promise<Buffer> {
    const header = await readFile(this.#header)
    return header.subarray(0, SEALED_HEADER_BYTES)
  }

  #checkHeader(header: Uint8Array): void {
    try {
      checkLuks2Header(header)
    } catch (error) {
      if (!(error instanceof Luks2HeaderError)) throw error
      const { message, expected, received } = error
      throw new CloisterError('agent.disk-header', {
        why: message,
        ...(expected !== undefined && { expected }),
        ...(received !== undefined && { received }),
        cause: error,
      })
    }
  }

  /** The host gets its space back; that it does is a courtesy, so nothing depends on it. */
  async #discardSource(bytes: number): Promise<void> {
    const { device, disk, run } = this.#options
    const offset = SEALED_DISK.dataOffset + disk.dataBytes
    await run(['busybox', 'blkdiscard', '-o', String(offset), '-l', String(bytes), device])
  }

  #detached(): readonly string[] {
    return [`--header=${this.#header}`, '--key-file=-']
  }

  async #cryptsetup(words: readonly string[], input: Uint8Array): Promise<void> {
    const [action = '', ...rest] = words
    await this.#must(['cryptsetup', action, ...this.#detached(), ...rest], input)
  }

  async #must(command: readonly [string, ...string[]], input?: Uint8Array): Promise<void> {
    const { status, said } = await this.#options.run(command, input)
    if (status === 0) return
    throw new CloisterError('agent.disk-failed', {
      where: command.slice(0, 2).join(' '),
      why: `status ${status}: ${said.slice(-300)}`,
    })
  }
}

/** What looks for file systems looks at the end of a disk too, and a block that nobody wrote cannot be read. */
async function zeroEnd(device: string, bytes: number): Promise<void> {
  await using disk = await open(device, 'r+')
  const length = Math.min(END_BYTES, bytes)
  await writeAll(disk, Buffer.alloc(length), bytes - length)
}

async function isMapped(name: string): Promise<boolean> {
  return (await mapping(name)) !== undefined
}

async function mappedBytes(name: string): Promise<number> {
  const place = await mapping(name)
  if (place === undefined)
    throw new CloisterError('agent.disk-failed', { why: 'the opened disk does not show' })
  // The kernel counts sectors of 512 bytes whatever the disk's are.
  return Number(await readFile(`${place}/size`, 'latin1')) * SECTOR
}

/** Its folder in sysfs; absent: there is no such mapping. */
async function mapping(name: string): Promise<string | undefined> {
  for (const entry of await readdir('/sys/block')) {
    const found = await readFile(`/sys/block/${entry}/dm/name`, 'latin1').catch(() => '')
    if (found.trim() === name) return `/sys/block/${entry}`
  }
  return undefined
}
