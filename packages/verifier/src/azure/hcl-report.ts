/**
 * The HCL report of an Azure confidential VM, from NV index 0x01400001 of its vTPM: the hardware's report, and the runtime data that the report vouches
 * for by their digest. Little-endian; zero-padded.
 */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import { ByteReader, isZero } from '../bytes/reader.ts'
import { toUtf8 } from '../bytes/text.ts'
import type { DigestAlgorithm } from '../crypto/crypto.ts'

const FORMAT = 'HCL report'
const SIGNATURE = toUtf8('HCLA')
const HARDWARE_SIZE = 1184
const RUNTIME_OFFSET = 1216
const RUNTIME_HEADER = 20
const MAX_BYTES = 65_536
const TYPES: Readonly<Record<number, HclReport['type']>> = { 2: 'snp', 4: 'tdx' }
const HASHES: Readonly<Record<number, DigestAlgorithm>> = {
  1: 'SHA-256',
  2: 'SHA-384',
  3: 'SHA-512',
}

export interface HclReport {
  readonly version: number
  readonly requestType: number
  readonly status: number
  readonly type: 'snp' | 'tdx'
  /** 1184 bytes: an SNP report, or a TDREPORT with padding, which only its own machine could check. */
  readonly hardware: Uint8Array
  readonly hash: DigestAlgorithm
  /** JSON; exactly what is digested. */
  readonly runtimeData: Uint8Array
  /** Zero bytes after it. */
  readonly paddingBytes: number
}

/** @throws FormatError */
export function parseHclReport(bytes: Uint8Array): HclReport {
  const reader = new ByteReader(FORMAT, bytes)
  if (bytes.length > MAX_BYTES) reader.fail('length', 0, 'too long')
  if (!equalBytes(reader.bytes(4, 'signature'), SIGNATURE)) reader.fail('signature', 0, 'not HCLA')
  const version = reader.u32le('version')
  if (version !== 1 && version !== 2) reader.fail('version', 4, `${version}, wanted 1 or 2`)
  const size = reader.u32le('report size')
  const requestType = reader.u32le('request type')
  const status = reader.u32le('status')
  reader.zeros(12, 'reserved')
  const hardware = reader.bytes(HARDWARE_SIZE, 'hardware report')
  const runtimeSize = reader.u32le('runtime data size')
  const runtimeVersion = reader.u32le('runtime data version')
  if (runtimeVersion !== 1) reader.fail('runtime data version', 1220, `${runtimeVersion}`)
  const type = TYPES[reader.u32le('report type')] ?? reader.fail('report type', 1224, 'unknown')
  const hash = HASHES[reader.u32le('hash type')] ?? reader.fail('hash type', 1228, 'unknown')
  const length = reader.u32le('variable data size')
  const runtimeData = reader.bytes(length, 'variable data')
  if (runtimeSize !== RUNTIME_HEADER + length || size !== RUNTIME_OFFSET + runtimeSize)
    reader.fail('report size', 8, 'the three sizes do not fit')
  const paddingBytes = reader.left
  reader.zeros(paddingBytes, 'padding')
  return { version, requestType, status, type, hardware, hash, runtimeData, paddingBytes }
}

/** The report's bytes again. */
export function encodeHclReport(report: HclReport): Uint8Array<ArrayBuffer> {
  const { runtimeData, type, hash } = report
  const runtimeSize = RUNTIME_HEADER + runtimeData.length
  const numberOf = (table: Readonly<Record<number, string>>, value: string) =>
    Number(Object.entries(table).find(([, name]) => name === value)?.[0])
  return concatBytes(
    SIGNATURE,
    words(report.version, RUNTIME_OFFSET + runtimeSize, report.requestType, report.status),
    new Uint8Array(12),
    report.hardware,
    words(runtimeSize, 1, numberOf(TYPES, type), numberOf(HASHES, hash), runtimeData.length),
    runtimeData,
    new Uint8Array(report.paddingBytes),
  )
}

/** What the hardware's REPORT_DATA must be: the digest of the runtime data, then zeros. */
export async function hclBinding({ hash, runtimeData }: HclReport): Promise<Uint8Array> {
  const binding = new Uint8Array(64)
  binding.set(await runtimeCrypto.digest(hash, runtimeData))
  return binding
}

/** REPORTDATA of the TDREPORT in the hardware's area. */
export function tdReportData({ hardware }: HclReport): Uint8Array {
  return hardware.subarray(128, 192)
}

/** Whether the area behind the TDREPORT's 1024 bytes is empty. */
export function isTdReportPadded({ hardware }: HclReport): boolean {
  return isZero(hardware.subarray(1024))
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [place, value] of values.entries()) view.setUint32(place * 4, value, true)
  return bytes
}
