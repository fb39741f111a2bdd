/** Certification data of types 1 to 3: names the PCK certificate that somebody else has to supply. */
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import type { CertificationData } from './quote.ts'

/** Plain, RSA-2048 and RSA-3072 encrypted PPID. */
const PPID_SIZES: Readonly<Record<number, number>> = { 1: 16, 2: 256, 3: 384 }

export interface PpidCertification {
  readonly ppid: Uint8Array
  readonly encrypted: boolean
  readonly cpuSvn: Uint8Array
  readonly pceSvn: number
  readonly pceId: Uint8Array
}

/** @throws FormatError also for other types */
export function parsePpidCertification({ type, data }: CertificationData): PpidCertification {
  const size = PPID_SIZES[type]
  if (size === undefined) throw new FormatError('PPID certification data', 'type', 0, `${type}`)
  const reader = new ByteReader('PPID certification data', data)
  const ppid = reader.bytes(size, 'ppid')
  const cpuSvn = reader.bytes(16, 'cpu_svn')
  const pceSvn = reader.u16le('pce_svn')
  const pceId = reader.bytes(2, 'pce_id')
  reader.end()
  return { ppid, encrypted: type !== 1, cpuSvn, pceSvn, pceId }
}
