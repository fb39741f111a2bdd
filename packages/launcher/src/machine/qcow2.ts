/**
 * qcow2 as QEMU's docs/interop/qcow2.txt has it: the header (versions 2 and 3) and the table of snapshots. Big-endian. Only what decides
 * whether QEMU may open the file, and what is in it; the tables of clusters are QEMU's business.
 */
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { ByteReader } from '@cloister/verifier/bytes/reader'

const FORMAT = 'qcow2 image'
/** `QFI\xfb`. */
export const QCOW2_MAGIC = 0x514649fb
/** Bits of `incompatible_features`. */
const FEATURE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  dataFile: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
} as const
const HARMLESS = FEATURE.dirty | FEATURE.compressionType | FEATURE.extendedL2
const CLUSTER_BITS = { least: 9, most: 21 } as const
/** What QEMU itself takes (QCOW_MAX_L1_SIZE, QCOW_MAX_SNAPSHOTS). */
const MAX_L1_BYTES = 32 << 20
const MAX_SNAPSHOTS = 65_536
/** Longest header, with what later versions add. */
export const QCOW2_HEADER_BYTES = 112

export interface Qcow2Header {
  readonly version: 2 | 3
  readonly virtualBytes: bigint
  readonly clusterBytes: number
  /** Whether it names another file whose bytes would be read. */
  readonly refersToFile: boolean
  readonly isEncrypted: boolean
  /** Why QEMU could not or should not open it. Absent: nothing. */
  readonly unsupported?: string
  readonly snapshotCount: number
  readonly snapshotsOffset: bigint
}

/** @param bytes - the first {@link QCOW2_HEADER_BYTES}, fewer at the end of a file @throws FormatError */
export function parseQcow2Header(bytes: Uint8Array): Qcow2Header {
  const reader: ByteReader = new ByteReader(FORMAT, bytes)
  if (reader.u32be('magic') !== QCOW2_MAGIC) reader.fail('magic', 0, 'not qcow2')
  const version = reader.u32be('version')
  if (version !== 2 && version !== 3) reader.fail('version', 4, `version ${version}`)
  const backingOffset = reader.u64be('backing_file_offset')
  const backingSize = reader.u32be('backing_file_size')
  const clusterBits = reader.u32be('cluster_bits')
  if (clusterBits < CLUSTER_BITS.least || clusterBits > CLUSTER_BITS.most)
    reader.fail('cluster_bits', 20, `${clusterBits} is out of range`)
  const virtualBytes = reader.u64be('size')
  const encryption = reader.u32be('crypt_method')
  const l1Size = reader.u32be('l1_size')
  if (l1Size * 8 > MAX_L1_BYTES) reader.fail('l1_size', 36, 'larger than QEMU takes')
  reader.u64be('l1_table_offset')
  reader.u64be('refcount_table_offset')
  reader.u32be('refcount_table_clusters')
  const snapshotCount = reader.u32be('nb_snapshots')
  if (snapshotCount > MAX_SNAPSHOTS) reader.fail('nb_snapshots', 60, 'more than QEMU takes')
  const snapshotsOffset = reader.u64be('snapshots_offset')
  const features = version === 3 ? reader.u64be('incompatible_features') : 0n
  const unsupported = unsupportedFeature(features)
  return {
    version,
    virtualBytes,
    clusterBytes: 2 ** clusterBits,
    refersToFile: backingOffset !== 0n || backingSize !== 0 || (features & FEATURE.dataFile) !== 0n,
    isEncrypted: encryption !== 0,
    ...(unsupported !== undefined && { unsupported }),
    snapshotCount,
    snapshotsOffset,
  }
}

function unsupportedFeature(features: bigint): string | undefined {
  if ((features & FEATURE.corrupt) !== 0n) return 'it is marked as damaged'
  const unknown = features & ~(HARMLESS | FEATURE.dataFile)
  return unknown === 0n ? undefined : `incompatible feature bits 0x${unknown.toString(16)}`
}

export interface Qcow2Snapshot {
  readonly id: string
  readonly name: string
  readonly at: Date
}

const SNAPSHOT = { align: 8 } as const

/**
 * @param bytes - from `snapshots_offset` on
 * @param count - `nb_snapshots`
 * @throws FormatError also when the table is longer than the bytes
 */
export function parseSnapshotTable(bytes: Uint8Array, count: number): Qcow2Snapshot[] {
  const snapshots: Qcow2Snapshot[] = []
  let offset = 0
  for (let index = 0; index < count; index++) {
    if (offset > bytes.length)
      throw new FormatError(FORMAT, 'snapshots', offset, 'the table is longer than its bytes')
    const reader = new ByteReader(FORMAT, bytes.subarray(offset))
    reader.bytes(12, 'l1_table')
    const idSize = reader.u16be('id_str_size')
    const nameSize = reader.u16be('name_size')
    const seconds = reader.u32be('date_sec')
    reader.bytes(16, 'date_nsec, vm_clock, vm_state_size')
    reader.bytes(reader.u32be('extra_data_size'), 'extra_data')
    const text = (length: number, field: string) =>
      Buffer.from(reader.bytes(length, field)).toString('utf8')
    const id = text(idSize, 'id')
    const name = text(nameSize, 'name')
    snapshots.push({ id, name, at: new Date(seconds * 1000) })
    offset += Math.ceil(reader.offset / SNAPSHOT.align) * SNAPSHOT.align
  }
  return snapshots
}
