/** What a CSV report says, in a form that JSON carries without loss. Always unverified. */
import { toHex } from '../bytes/hex.ts'
import type { KeyUsage } from './certificate.ts'
import type { CsvReport } from './report.ts'

export interface CsvClaims {
  readonly tee: 'csv'
  readonly userPublicKeyDigest: string
  readonly vmId: string
  readonly vmVersion: string
  readonly reportData: string
  readonly measure: string
  /** The raw word, hex. */
  readonly policy: string
  readonly signatureUsage: KeyUsage
  /** Text where it is ASCII with zeros behind, else hex. */
  readonly serialNumber: string
  readonly pekApi: string
}

export function csvClaims(report: CsvReport): CsvClaims {
  const { api } = report.pek
  return {
    tee: 'csv',
    userPublicKeyDigest: toHex(report.userPublicKeyDigest),
    vmId: toHex(report.vmId),
    vmVersion: toHex(report.vmVersion),
    reportData: toHex(report.reportData),
    measure: toHex(report.measure),
    policy: report.policy.toString(16).padStart(8, '0'),
    signatureUsage: report.signatureUsage,
    serialNumber: serialText(report.serialNumber),
    pekApi: `${api.major}.${api.minor}`,
  }
}

function serialText(serial: Uint8Array): string {
  const zero = serial.indexOf(0)
  const text = zero === -1 ? serial : serial.subarray(0, zero)
  const plain = text.every((byte) => byte > 0x20 && byte < 0x7f)
  const padded = zero === -1 || serial.subarray(zero).every((byte) => byte === 0)
  return plain && padded ? String.fromCharCode(...text) : toHex(serial)
}
