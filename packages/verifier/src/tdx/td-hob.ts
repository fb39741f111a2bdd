/**
 * The TD HOB: the memory that QEMU's q35 tells a TD of, as a list of hand-off blocks (UEFI PI, Vol. 3, 5; QEMU hw/i386/tdvf-hob.c, and
 * target/i386/kvm/tdx.c for what is in it). Little-endian. The firmware measures it before it reads it, up to the block that ends the list.
 */
import { TDVF_SECTION } from '../formats/tdvf.ts'
import type { TdvfSection } from '../formats/tdvf.ts'

const HANDOFF = { type: 1, size: 56, version: 9, end: 48 } as const
const RESOURCE = { type: 3, size: 48, kind: 24, attributes: 28, start: 32, length: 40 } as const
/** EFI_RESOURCE_SYSTEM_MEMORY of what QEMU adds itself, and EFI_RESOURCE_MEMORY_UNACCEPTED. */
const KIND = { added: 0, unaccepted: 7 } as const
/** Present, initialized, tested. */
const ATTRIBUTES = 7
const LIST_END = 8
const MIB = 1n << 20n
/** QEMU hw/i386/pc_q35.c: from `most` on, what is above `split` lies above 4 GiB. */
const LOW_MEMORY = { most: 0xb000_0000n, split: 0x8000_0000n } as const
const HIGH = 1n << 32n

interface Range {
  readonly start: bigint
  readonly length: bigint
  readonly kind: number
}

/**
 * @param sections - of the firmware, as `formats/tdvf` reads them
 * @throws RangeError for memory in which they do not lie, and for firmware without a place for the list
 */
export function encodeTdHob(sections: readonly TdvfSection[], memoryMiB: number): Uint8Array {
  const list = sections.find(({ type }) => type === TDVF_SECTION.handOff)
  if (list === undefined) throw new RangeError('the firmware has no place for a TD HOB')
  const ranges = memoryRanges(sections, BigInt(memoryMiB) * MIB)
  const bytes = new Uint8Array(HANDOFF.size + ranges.length * RESOURCE.size)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, HANDOFF.type, true)
  view.setUint16(2, HANDOFF.size, true)
  view.setUint32(8, HANDOFF.version, true)
  view.setBigUint64(HANDOFF.end, list.gpa + BigInt(bytes.length + LIST_END), true)
  for (const [index, { start, length, kind }] of ranges.entries()) {
    const at = HANDOFF.size + index * RESOURCE.size
    view.setUint16(at, RESOURCE.type, true)
    view.setUint16(at + 2, RESOURCE.size, true)
    view.setUint32(at + RESOURCE.kind, kind, true)
    view.setUint32(at + RESOURCE.attributes, ATTRIBUTES, true)
    view.setBigUint64(at + RESOURCE.start, start, true)
    view.setBigUint64(at + RESOURCE.length, length, true)
  }
  return bytes
}

/** All RAM, ascending; what the firmware needs from the start is cut out of it. */
function memoryRanges(sections: readonly TdvfSection[], size: bigint): Range[] {
  let ranges = ramOf(size)
  for (const { type, gpa, size: length } of sections)
    if (type === TDVF_SECTION.handOff || type === TDVF_SECTION.temporary)
      ranges = withAdded(ranges, gpa, length)
  return ranges.toSorted((a, b) => (a.start < b.start ? -1 : 1))
}

function ramOf(size: bigint): Range[] {
  const kind = KIND.unaccepted
  if (size < LOW_MEMORY.most) return [{ start: 0n, length: size, kind }]
  return [
    { start: 0n, length: LOW_MEMORY.split, kind },
    { start: HIGH, length: size - LOW_MEMORY.split, kind },
  ]
}

function withAdded(ranges: readonly Range[], start: bigint, length: bigint): Range[] {
  const end = start + length
  const around = ranges.find(
    (range) => range.start <= start && end <= range.start + range.length && length > 0n,
  )
  if (around === undefined) throw new RangeError('the firmware needs memory that is not there')
  if (around.kind === KIND.added) return [...ranges]
  const { kind } = around
  return [
    ...ranges.filter((range) => range !== around),
    { start: around.start, length: start - around.start, kind },
    { start, length, kind: KIND.added },
    { start: end, length: around.start + around.length - end, kind },
  ].filter((range) => range.length > 0n)
}
