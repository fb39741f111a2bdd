/**
 * Disk images: their headers looked at without trusting them, and what qemu-img does with them, each time with a format that is
 * named, never guessed, and with limits on time and memory.
 */

export type DiskFormat = 'raw' | 'qcow2'

export interface DiskImage {
  readonly format: DiskFormat
  /** As the guest sees it. */
  readonly virtualBytes: number
}

export interface DiskSnapshot {
  readonly name: string
  readonly at: Date
}

/** What a disk may have at most. */
export const MAX_DISK_BYTES = 64 * 2 ** 40

/**
 * Looks at the first bytes of a file.
 * @throws CloisterError `disk.not-found`, `disk.unreadable`, `disk.format-unsupported`, `disk.backing-file`, `disk.encrypted`,
 *   `disk.feature-unsupported`, `disk.malformed`, `disk.too-large`
 */
export async function inspectDisk(_path: string): Promise<DiskImage> {
  throw new Error('follows')
}

/**
 * Copies an image into a new sparse qcow2 file of a VM's own.
 *
 * @param sizeBytes - of the new disk, at least that of the image. Absent: that of the image
 * @param target - absolute; made with mode 0600, must not exist; nothing is left of it when this fails
 * @throws CloisterError as {@link inspectDisk}, `disk.shrink`, `disk.tool-missing`, `disk.tool-failed`, `host.disk-full`
 */
export async function importDisk(
  _source: string,
  _target: string,
  _options: { readonly sizeBytes?: number; readonly signal?: AbortSignal } = {},
): Promise<DiskImage> {
  throw new Error('follows')
}

/** Grows a disk that no VM uses. @throws CloisterError `disk.shrink`, `disk.in-use`, and as {@link importDisk} */
export async function resizeDisk(_path: string, _sizeBytes: number): Promise<void> {
  throw new Error('follows')
}

/** Snapshots inside a qcow2 file, oldest first. @throws CloisterError as {@link inspectDisk} */
export async function listSnapshots(_path: string): Promise<DiskSnapshot[]> {
  throw new Error('follows')
}

/** Names are 1 to 63 of `a-z 0-9 -`. @throws CloisterError `snapshot.name-invalid`, `snapshot.exists`, `snapshot.too-many`, `disk.in-use`, … */
export async function createSnapshot(_path: string, _name: string): Promise<void> {
  throw new Error('follows')
}

/** Puts the disk back. @throws CloisterError `snapshot.not-found`, `disk.in-use`, … */
export async function restoreSnapshot(_path: string, _name: string): Promise<void> {
  throw new Error('follows')
}

/** @throws CloisterError `snapshot.not-found`, `disk.in-use`, … */
export async function deleteSnapshot(_path: string, _name: string): Promise<void> {
  throw new Error('follows')
}
