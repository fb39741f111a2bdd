/** What the capability probe may look at of a host. Injected, so that the probe is tested on what other hosts show. */
import { access, constants, open, readFile, stat, statfs } from 'node:fs/promises'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { findProgram } from '../find-program.ts'
import { findFirmware } from '../machine/firmware.ts'
import { askQemu, type QemuCapabilities } from '../qemu-capabilities.ts'

export type DeviceAccess = 'usable' | 'denied' | 'absent'

export interface HostView {
  /** As `process.arch` names it. */
  readonly architecture: string
  /** Trimmed text; absent when the file cannot be read. Bounded to 1 MiB. */
  readFile(path: string): Promise<string | undefined>
  /** The whole of a file up to 64 MiB; absent when it cannot be read or is larger. */
  readBytes(path: string): Promise<Uint8Array | undefined>
  /** Whether QEMU, as we start it, may read and write the device. */
  deviceAccess(path: string): Promise<DeviceAccess>
  /** Whether a program of that name stands on the PATH. */
  hasProgram(name: string): Promise<boolean>
  /** Whether there is UEFI firmware for VMs. */
  hasFirmware(secureBoot: boolean): Promise<boolean>
  /** Absent when there is no QEMU. */
  qemu(): Promise<QemuCapabilities | undefined>
  /** Bytes that this user may still write below the nearest existing folder. */
  freeDiskBytes(path: string): Promise<number>
  availableMemoryBytes(): Promise<number>
}

const MAX_FILE_BYTES = 1 << 20
const MAX_FIRMWARE_BYTES = 64 << 20

/** The host that this process runs on. @param qemuCacheFile - as `askQemu` takes it */
export function localHostView(qemuCacheFile?: string): HostView {
  let qemu: Promise<QemuCapabilities | undefined> | undefined
  return {
    architecture: process.arch,
    readFile: readBounded,
    readBytes,
    deviceAccess,
    hasProgram: async (name) => (await findProgram(name)) !== undefined,
    hasFirmware,
    qemu: () => (qemu ??= findQemu(qemuCacheFile)),
    freeDiskBytes,
    availableMemoryBytes,
  }
}

/** Files of /proc and /sys have no size that could be asked for. */
async function readBounded(path: string): Promise<string | undefined> {
  try {
    await using handle = await open(path, 'r')
    const bytes = Buffer.alloc(64 << 10)
    const parts: Buffer[] = []
    for (let total = 0; total < MAX_FILE_BYTES;) {
      const { bytesRead } = await handle.read(bytes)
      if (bytesRead === 0) break
      parts.push(Buffer.from(bytes.subarray(0, bytesRead)))
      total += bytesRead
    }
    return Buffer.concat(parts).toString('utf8').trim()
  } catch {
    return undefined
  }
}

async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    const { size } = await stat(path)
    return size > MAX_FIRMWARE_BYTES ? undefined : await readFile(path)
  } catch {
    return undefined
  }
}

/** QEMU runs under a uid of its own when we are root: then only the device's group or everybody counts. */
async function deviceAccess(path: string): Promise<DeviceAccess> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return 'absent'
  if (process.getuid?.() === 0) {
    const byGroup = found.gid !== 0 && (found.mode & 0o060) === 0o060
    return byGroup || (found.mode & 0o006) === 0o006 ? 'usable' : 'denied'
  }
  return access(path, constants.R_OK | constants.W_OK).then(
    () => 'usable',
    () => 'denied',
  )
}

async function hasFirmware(secureBoot: boolean): Promise<boolean> {
  return findFirmware({ secureBoot }).then(
    () => true,
    () => false,
  )
}

async function findQemu(cacheFile: string | undefined): Promise<QemuCapabilities | undefined> {
  try {
    return await askQemu(cacheFile)
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'qemu.missing') return undefined
    throw error
  }
}

async function freeDiskBytes(path: string): Promise<number> {
  for (let folder = path; ; folder = join(folder, '..')) {
    const found = await statfs(folder).catch(() => undefined)
    if (found !== undefined) return found.bavail * found.bsize
    if (folder === '/') return 0
  }
}

/** Free memory as the kernel counts it includes caches that it can drop (MemAvailable). */
async function availableMemoryBytes(): Promise<number> {
  const text = (await readBounded('/proc/meminfo')) ?? ''
  const found = /^MemAvailable:\s+(\d+) kB$/m.exec(text)
  return found === null ? freemem() : Number(found[1]) * 1024
}
