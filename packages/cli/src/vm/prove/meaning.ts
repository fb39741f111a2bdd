/** What the outcome of `vm prove` means, in one sentence or two; never more than it shows. */
import type { MemoryDump, VmTee } from '@cloister/protocol/hostd-vm-api'

const DISK = {
  found: 'What the guest wrote lies on the disk in clear.',
  absent: 'What the guest wrote is not on the disk in clear.',
} as const

export function meaningOf(
  tee: VmTee,
  found: { readonly memory: number; readonly disk: number },
  ranges: MemoryDump['ranges'],
): string {
  const disk = found.disk > 0 ? DISK.found : DISK.absent
  return `${memoryMeaning(tee, found.memory, ranges)} ${disk} This is a demonstration, not evidence.`
}

function memoryMeaning(tee: VmTee, found: number, ranges: MemoryDump['ranges']): string {
  const isEncrypted = tee !== 'none' && tee !== 'simulated'
  if (found > 0) {
    if (tee === 'simulated')
      return 'The host reads the memory of this VM: the TEE is simulated and encrypts nothing.'
    return isEncrypted
      ? `The host reads the memory of this VM, though it was started with ${tee}: it is not protected as it should be.`
      : 'The host reads the memory of this VM: there is no TEE that would encrypt it.'
  }
  const read = ranges.filter(({ isReadable }) => isReadable)
  if (read.length === 0) return 'The host could not read the memory of this VM by its own tools.'
  return isEncrypted
    ? 'What the host could read of the memory does not hold what the guest wrote there.'
    : 'The canary was not found, but nothing protects this memory: the guest may have moved it. Try again.'
}
