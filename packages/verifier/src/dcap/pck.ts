/** Intel's extension in PCK certificates (SGX PCK Certificate Profile, 1.2.840.113741.1.13.1). */
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { DerReader, TAG } from '../formats/der-reader.ts'
import { derInteger, derOctetString, derOid, derSequence } from '../formats/der-writer.ts'
import { extensionValue } from '../formats/x509-certificate.ts'
import type { Certificate, Extension } from '../formats/x509-certificate.ts'

const FORMAT = 'PCK extension'
export const SGX_EXTENSION_OID = '1.2.840.113741.1.13.1'
/** Parts of the extension. */
const PART = {
  ppid: `${SGX_EXTENSION_OID}.1`,
  tcb: `${SGX_EXTENSION_OID}.2`,
  pceId: `${SGX_EXTENSION_OID}.3`,
  fmspc: `${SGX_EXTENSION_OID}.4`,
  platformInstanceId: `${SGX_EXTENSION_OID}.6`,
  configuration: `${SGX_EXTENSION_OID}.7`,
  smtEnabled: `${SGX_EXTENSION_OID}.7.3`,
  components: Array.from({ length: 16 }, (_, index) => `${SGX_EXTENSION_OID}.2.${index + 1}`),
  pceSvn: `${SGX_EXTENSION_OID}.2.17`,
  cpuSvn: `${SGX_EXTENSION_OID}.2.18`,
} as const

export interface PckIdentity {
  /** 16 bytes. */
  readonly ppid: Uint8Array
  /** The 16 component SVNs, the ones to compare; CPUSVN itself is opaque. */
  readonly components: readonly number[]
  readonly pceSvn: number
  readonly cpuSvn: Uint8Array
  /** Lowercase hex, 2 bytes. */
  readonly pceId: string
  /** Lowercase hex, 6 bytes. */
  readonly fmspc: string
  /** 16 bytes; certificates of the Platform CA have one. */
  readonly platformInstanceId: Uint8Array | undefined
  /** Whether hyper-threading is on; certificates of the Platform CA say. */
  readonly smtEnabled: boolean | undefined
}

/** @throws FormatError when the extension or a part that all have is missing */
export function readPckIdentity(certificate: Certificate): PckIdentity {
  const value = extensionValue(certificate, SGX_EXTENSION_OID)
  if (value === undefined) throw new FormatError(FORMAT, 'extension', 0, 'is missing')
  const outer = new DerReader(FORMAT, value)
  const fields = readPairs(outer.sequence('extension'))
  outer.end()
  const tcb = readPairs(need(fields, PART.tcb).sequence('tcb'))
  const configuration = fields.get(PART.configuration)
  return {
    ppid: octets(need(fields, PART.ppid), 16),
    components: PART.components.map((oid) => integer(need(tcb, oid), 255)),
    pceSvn: integer(need(tcb, PART.pceSvn), 65_535),
    cpuSvn: octets(need(tcb, PART.cpuSvn), 16),
    pceId: toHex(octets(need(fields, PART.pceId), 2)),
    fmspc: toHex(octets(need(fields, PART.fmspc), 6)),
    platformInstanceId: optionalOctets(fields.get(PART.platformInstanceId), 16),
    smtEnabled: configuration && readSmt(configuration),
  }
}

/** The extension for a certificate template: for tests' fake Intel. */
export function pckExtension(identity: PckIdentity): Extension {
  const pair = (suffix: string, value: Uint8Array) =>
    derSequence(derOid(`${SGX_EXTENSION_OID}.${suffix}`), value)
  const tcb = [
    ...identity.components.map((svn, index) => pair(`2.${index + 1}`, derInteger(svn))),
    pair('2.17', derInteger(identity.pceSvn)),
    pair('2.18', derOctetString(identity.cpuSvn)),
  ]
  const bytes = (hex: string) =>
    Uint8Array.from(hex.match(/../g) ?? [], (two) => Number(`0x${two}`))
  const fields = [
    pair('1', derOctetString(identity.ppid)),
    pair('2', derSequence(...tcb)),
    pair('3', derOctetString(bytes(identity.pceId))),
    pair('4', derOctetString(bytes(identity.fmspc))),
  ]
  return { oid: SGX_EXTENSION_OID, critical: false, value: derSequence(...fields) }
}

/** SEQUENCE OF { OID, value }, each OID once: readers of the values. */
function readPairs(list: DerReader): Map<string, DerReader> {
  const pairs = new Map<string, DerReader>()
  while (!list.done) {
    if (pairs.size === 32) list.fail('extension', 'too many parts')
    const pair = list.sequence('part')
    const oid = pair.oid('part')
    if (pairs.has(oid)) list.fail('part', `${oid} twice`)
    pairs.set(oid, pair.next('part'))
    pair.end()
  }
  return pairs
}

function need(pairs: Map<string, DerReader>, oid: string): DerReader {
  const value = pairs.get(oid)
  if (value === undefined) throw new FormatError(FORMAT, oid, 0, 'is missing')
  return value
}

function octets(value: DerReader, size: number): Uint8Array {
  const bytes = value.octetString('value')
  if (bytes.length !== size)
    throw new FormatError(FORMAT, 'value', 0, `${bytes.length} bytes, wanted ${size}`)
  return bytes
}

function optionalOctets(value: DerReader | undefined, size: number): Uint8Array | undefined {
  return value === undefined ? undefined : octets(value, size)
}

function integer(reader: DerReader, limit: number): number {
  const value = reader.smallInteger('value')
  if (value > limit) throw new FormatError(FORMAT, 'value', 0, `above ${limit}`)
  return value
}

function readSmt(configuration: DerReader): boolean | undefined {
  const smt = readPairs(configuration.sequence('configuration')).get(PART.smtEnabled)
  return smt?.peek() === TAG.boolean ? smt.boolean('smt') : undefined
}
