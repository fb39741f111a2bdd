/** A disk image as a raw file, in which byte offsets are those of the disk. */
import { join } from 'node:path'
import { inspectDisk } from '@cloister/launcher/machine/disk-image'
import { run } from '@cloister/image/run'

/**
 * @param work - a directory for a copy, which a qcow2 image needs
 * @throws CloisterError `disk.*`, `guest-image.tool-*`
 */
export async function rawDisk(image: string, work: string, signal: AbortSignal): Promise<string> {
  // Refuses backing files and whatever else would make the converter read other files of this machine.
  const { format } = await inspectDisk(image)
  if (format === 'raw') return image
  const raw = join(work, 'disk.raw')
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw], { signal })
  return raw
}
