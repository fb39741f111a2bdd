/**
 * SEV-SNP ATTESTATION_REPORT. AMD 56860 (SNP firmware ABI), versions 2 to 5. Little-endian; 0x4A0 bytes; the signature
 * covers bytes 0x000..0x29F. Parsing decides nothing; the signature is checked over the received bytes, never over these
 * fields written again.
 */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader, isZero } from '../bytes/reader.ts'
import type { ProcessorId } from './product.ts'
import { readGuestPolicy, readKeyInfo, readPlatformInfo } from './report-flags.ts'
import {
  KEY_INFO_RESERVED_ZERO,
  POLICY_RESERVED_ONE,
  POLICY_RESERVED_ZERO,
} from './report-flags.ts'
import type { GuestPolicy, KeyInfo, PlatformInfo } from './report-flags.ts'

export const REPORT_SIZE = 0x4a0
export const REPORT_SIGNED_SIZE = 0x2a0
export const VMPL_HOST = 0xffff_ffff
export const ECDSA_P384_SHA384 = 1

const FORMAT = 'SNP report'
const SCALAR_SIZE = 72
const SIGNATURE_TAIL = 0x330

export interface FirmwareVersion {
  readonly major: number
  readonly minor: number
  readonly build: number
}

/** A report's fields. Byte fields are views into the input. TCB versions stay raw: their layout depends on the chip. */
export interface SnpReport {
  readonly version: number
  readonly guestSvn: number
  readonly policy: GuestPolicy
  /** 16 bytes, from the ID block. */
  readonly familyId: Uint8Array
  /** 16 bytes, from the ID block. */
  readonly imageId: Uint8Array
  /** 0 to 3, or {@link VMPL_HOST}. */
  readonly vmpl: number
  readonly signatureAlgorithm: number
  readonly currentTcb: Uint8Array
  readonly platformInfo: PlatformInfo
  readonly keyInfo: KeyInfo
  /** 64 bytes that the guest chose. */
  readonly reportData: Uint8Array
  /** 48 bytes: the launch digest. */
  readonly measurement: Uint8Array
  /** 32 bytes that the host chose at launch. */
  readonly hostData: Uint8Array
  readonly idKeyDigest: Uint8Array
  readonly authorKeyDigest: Uint8Array
  readonly reportId: Uint8Array
  readonly reportIdMa: Uint8Array
  readonly reportedTcb: Uint8Array
  /** Version 3 and later. */
  readonly processor: ProcessorId | undefined
  /** 64 bytes; zero when masked; on Turin only the first 8 are used. */
  readonly chipId: Uint8Array
  readonly committedTcb: Uint8Array
  readonly current: FirmwareVersion
  readonly committed: FirmwareVersion
  readonly launchTcb: Uint8Array
  /** Version 5. */
  readonly launchMitigationVector: bigint | undefined
  /** Version 5. */
  readonly currentMitigationVector: bigint | undefined
  /** Each 72 bytes, little-endian. */
  readonly signature: { readonly r: Uint8Array; readonly s: Uint8Array }
  /** Signed reserved fields that are not zero; empty unless parsed with `reserved: 'report'`. */
  readonly unknownFields: readonly string[]
}

export interface ParseSnpReportOptions {
  /** `refuse` (the default) makes non-zero reserved bits an error, `report` lists them in `unknownFields`. */
  readonly reserved?: 'refuse' | 'report'
}

/** @throws FormatError; `field` is `version` for a version other than 2 to 5 */
export function parseSnpReport(bytes: Uint8Array, options: ParseSnpReportOptions = {}): SnpReport {
  if (bytes.length !== REPORT_SIZE)
    throw new FormatError(FORMAT, 'length', 0, `${bytes.length} bytes, wanted ${REPORT_SIZE}`)
  const reader = new ByteReader(FORMAT, bytes)
  const unknownFields: string[] = []
  const reserved = (field: string, zero: boolean) => {
    if (zero) return
    if (options.reserved !== 'report') reader.fail(field, reader.offset, 'reserved bits are set')
    unknownFields.push(field)
  }
  const reservedBytes = (length: number, field: string) =>
    reserved(field, isZero(reader.bytes(length, field)))

  const version = reader.u32le('version')
  if (version < 2 || version > 5) reader.fail('version', 0, `${version}, wanted 2 to 5`)
  const guestSvn = reader.u32le('guest_svn')
  const policy = readGuestPolicy(reader.u64le('policy'))
  if ((policy.raw & POLICY_RESERVED_ONE) === 0n) reader.fail('policy', 0x08, 'bit 17 is not set')
  reserved('policy', (policy.raw & POLICY_RESERVED_ZERO) === 0n)
  const familyId = reader.bytes(16, 'family_id')
  const imageId = reader.bytes(16, 'image_id')
  const vmpl = reader.u32le('vmpl')
  if (vmpl > 3 && vmpl !== VMPL_HOST) reader.fail('vmpl', 0x30, `${vmpl}, wanted 0 to 3`)
  const signatureAlgorithm = reader.u32le('signature_algo')
  const currentTcb = reader.bytes(8, 'current_tcb')
  const platformInfo = readPlatformInfo(reader.u64le('platform_info'))
  const keyInfo = readKeyInfo(reader.u32le('key_info'))
  reserved('key_info', (keyInfo.raw & KEY_INFO_RESERVED_ZERO) === 0)
  reservedBytes(4, 'reserved 0x4c')
  const reportData = reader.bytes(64, 'report_data')
  const measurement = reader.bytes(48, 'measurement')
  const hostData = reader.bytes(32, 'host_data')
  const idKeyDigest = reader.bytes(48, 'id_key_digest')
  const authorKeyDigest = reader.bytes(48, 'author_key_digest')
  const reportId = reader.bytes(32, 'report_id')
  const reportIdMa = reader.bytes(32, 'report_id_ma')
  const reportedTcb = reader.bytes(8, 'reported_tcb')
  const processor = version >= 3 ? readProcessor(reader) : undefined
  reservedBytes(version >= 3 ? 21 : 24, 'reserved 0x188')
  const chipId = reader.bytes(64, 'chip_id')
  const committedTcb = reader.bytes(8, 'committed_tcb')
  const current = readFirmwareVersion(reader, 'current')
  reservedBytes(1, 'reserved 0x1eb')
  const committed = readFirmwareVersion(reader, 'committed')
  reservedBytes(1, 'reserved 0x1ef')
  const launchTcb = reader.bytes(8, 'launch_tcb')
  const launchMitigationVector = version >= 5 ? reader.u64le('launch_mit_vector') : undefined
  const currentMitigationVector = version >= 5 ? reader.u64le('current_mit_vector') : undefined
  reservedBytes(REPORT_SIGNED_SIZE - reader.offset, 'reserved 0x1f8')
  const signature = {
    r: reader.bytes(SCALAR_SIZE, 'signature.r'),
    s: reader.bytes(SCALAR_SIZE, 'signature.s'),
  }
  // Nothing signs the tail, so a value there can only be somebody's addition.
  reader.zeros(REPORT_SIZE - SIGNATURE_TAIL, 'signature tail')
  reader.end()

  return {
    version,
    guestSvn,
    policy,
    familyId,
    imageId,
    vmpl,
    signatureAlgorithm,
    currentTcb,
    platformInfo,
    keyInfo,
    reportData,
    measurement,
    hostData,
    idKeyDigest,
    authorKeyDigest,
    reportId,
    reportIdMa,
    reportedTcb,
    processor,
    chipId,
    committedTcb,
    current,
    committed,
    launchTcb,
    launchMitigationVector,
    currentMitigationVector,
    signature,
    unknownFields,
  }
}

/** The 1184 bytes of a report. Reserved bits are written as zero. Lengths of the byte fields are the caller's duty. */
export function encodeSnpReport(report: SnpReport): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REPORT_SIZE)
  const view = new DataView(bytes.buffer)
  const put = (offset: number, size: number, field: Uint8Array) => {
    if (field.length !== size) throw new RangeError(`a field of ${size} bytes has ${field.length}`)
    bytes.set(field, offset)
  }
  view.setUint32(0x000, report.version, true)
  view.setUint32(0x004, report.guestSvn, true)
  view.setBigUint64(0x008, report.policy.raw, true)
  put(0x010, 16, report.familyId)
  put(0x020, 16, report.imageId)
  view.setUint32(0x030, report.vmpl, true)
  view.setUint32(0x034, report.signatureAlgorithm, true)
  put(0x038, 8, report.currentTcb)
  view.setBigUint64(0x040, report.platformInfo.raw, true)
  view.setUint32(0x048, report.keyInfo.raw, true)
  put(0x050, 64, report.reportData)
  put(0x090, 48, report.measurement)
  put(0x0c0, 32, report.hostData)
  put(0x0e0, 48, report.idKeyDigest)
  put(0x110, 48, report.authorKeyDigest)
  put(0x140, 32, report.reportId)
  put(0x160, 32, report.reportIdMa)
  put(0x180, 8, report.reportedTcb)
  if (report.processor !== undefined) {
    const { family, model, stepping } = report.processor
    put(0x188, 3, Uint8Array.of(family, model, stepping))
  }
  put(0x1a0, 64, report.chipId)
  put(0x1e0, 8, report.committedTcb)
  put(0x1e8, 3, firmwareBytes(report.current))
  put(0x1ec, 3, firmwareBytes(report.committed))
  put(0x1f0, 8, report.launchTcb)
  if (report.version >= 5) {
    view.setBigUint64(0x1f8, report.launchMitigationVector ?? 0n, true)
    view.setBigUint64(0x200, report.currentMitigationVector ?? 0n, true)
  }
  put(0x2a0, SCALAR_SIZE, report.signature.r)
  put(0x2a0 + SCALAR_SIZE, SCALAR_SIZE, report.signature.s)
  return bytes
}

function readProcessor(reader: ByteReader): ProcessorId {
  const family = reader.u8('cpuid_fam_id')
  const model = reader.u8('cpuid_mod_id')
  const stepping = reader.u8('cpuid_step')
  return { family, model, stepping }
}

function readFirmwareVersion(reader: ByteReader, field: string): FirmwareVersion {
  const build = reader.u8(`${field}_build`)
  const minor = reader.u8(`${field}_minor`)
  const major = reader.u8(`${field}_major`)
  return { major, minor, build }
}

function firmwareBytes({ major, minor, build }: FirmwareVersion): Uint8Array {
  return Uint8Array.of(build, minor, major)
}
