/** SGX enclave report body: 384 bytes, little-endian (Intel SDM volume 3D, REPORT). */
import { ByteReader } from '../bytes/reader.ts'

export const ENCLAVE_REPORT_SIZE = 384

export interface EnclaveReport {
  readonly cpuSvn: Uint8Array
  readonly miscSelect: Uint8Array
  readonly isvExtProdId: Uint8Array
  /** 16 bytes: flags and XFRM. */
  readonly attributes: Uint8Array
  readonly mrEnclave: Uint8Array
  readonly mrSigner: Uint8Array
  readonly configId: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  readonly configSvn: number
  readonly isvFamilyId: Uint8Array
  readonly reportData: Uint8Array
}

/** Bits of the first byte of `attributes`. */
export const ENCLAVE_FLAG = { init: 0x01, debug: 0x02 } as const

/** @throws FormatError; reserved bytes must be zero */
export function parseEnclaveReport(bytes: Uint8Array): EnclaveReport {
  const reader = new ByteReader('SGX enclave report', bytes)
  const cpuSvn = reader.bytes(16, 'cpu_svn')
  const miscSelect = reader.bytes(4, 'misc_select')
  reader.zeros(12, 'reserved 20')
  const isvExtProdId = reader.bytes(16, 'isv_ext_prod_id')
  const attributes = reader.bytes(16, 'attributes')
  const mrEnclave = reader.bytes(32, 'mr_enclave')
  reader.zeros(32, 'reserved 96')
  const mrSigner = reader.bytes(32, 'mr_signer')
  reader.zeros(32, 'reserved 160')
  const configId = reader.bytes(64, 'config_id')
  const isvProdId = reader.u16le('isv_prod_id')
  const isvSvn = reader.u16le('isv_svn')
  const configSvn = reader.u16le('config_svn')
  reader.zeros(42, 'reserved 262')
  const isvFamilyId = reader.bytes(16, 'isv_family_id')
  const reportData = reader.bytes(64, 'report_data')
  reader.end()
  return {
    cpuSvn,
    miscSelect,
    isvExtProdId,
    attributes,
    mrEnclave,
    mrSigner,
    configId,
    isvProdId,
    isvSvn,
    configSvn,
    isvFamilyId,
    reportData,
  }
}

export function encodeEnclaveReport(report: EnclaveReport): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ENCLAVE_REPORT_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.set(report.cpuSvn, 0)
  bytes.set(report.miscSelect, 16)
  bytes.set(report.isvExtProdId, 32)
  bytes.set(report.attributes, 48)
  bytes.set(report.mrEnclave, 64)
  bytes.set(report.mrSigner, 128)
  bytes.set(report.configId, 192)
  view.setUint16(256, report.isvProdId, true)
  view.setUint16(258, report.isvSvn, true)
  view.setUint16(260, report.configSvn, true)
  bytes.set(report.isvFamilyId, 304)
  bytes.set(report.reportData, 320)
  return bytes
}
