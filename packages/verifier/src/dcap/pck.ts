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
  pceSvn: `${SGX_EXTENSION_OID}.2.17`,
  cpuSvn: `${SGX_EXTENSION_OID}.2.18`,
} as const
const COMPONENTS = 16
/** Where each component stands. */
const COMPONENT_PLACES: ReadonlyMap<string, number> = new Map(
  Array.from({ length: COMPONENTS }, (_, index) => [`${SGX_EXTENSION_OID}.2.${index + 1}`, index]),
)
const NO_COMPONENTS: readonly number[] = Array.from({ length: COMPONENTS }, () => -1)
const MAX_PARTS = 32

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
  const end = outer.descend(TAG.sequence, 'extension')
  let ppid: Uint8Array | undefined
  let tcb: Tcb | undefined
  let pceId: Uint8Array | undefined
  let fmspc: Uint8Array | undefined
  let platformInstanceId: Uint8Array | undefined
  let smtEnabled: boolean | undefined
  readParts(outer, end, (oid) => {
    if (oid === PART.ppid) ppid = octets(outer, 16)
    else if (oid === PART.tcb) tcb = readTcb(outer)
    else if (oid === PART.pceId) pceId = octets(outer, 2)
    else if (oid === PART.fmspc) fmspc = octets(outer, 6)
    else if (oid === PART.platformInstanceId) platformInstanceId = octets(outer, 16)
    else if (oid === PART.configuration) smtEnabled = readSmt(outer)
    else outer.pass('part')
  })
  outer.end()
  return {
    ppid: need(PART.ppid, ppid),
    ...need(PART.tcb, tcb),
    pceId: toHex(need(PART.pceId, pceId)),
    fmspc: toHex(need(PART.fmspc, fmspc)),
    platformInstanceId,
    smtEnabled,
  }
}

type Tcb = Pick<PckIdentity, 'components' | 'pceSvn' | 'cpuSvn'>

function readTcb(reader: DerReader): Tcb {
  let pceSvn: number | undefined
  let cpuSvn: Uint8Array | undefined
  const components = [...NO_COMPONENTS]
  readParts(reader, reader.descend(TAG.sequence, 'tcb'), (oid) => {
    const place = COMPONENT_PLACES.get(oid)
    if (place !== undefined) components[place] = integer(reader, 255)
    else if (oid === PART.pceSvn) pceSvn = integer(reader, 65_535)
    else if (oid === PART.cpuSvn) cpuSvn = octets(reader, 16)
    else reader.pass('part')
  })
  if (components.includes(-1)) throw new FormatError(FORMAT, 'tcb', 0, 'a component is missing')
  return { components, pceSvn: need(PART.pceSvn, pceSvn), cpuSvn: need(PART.cpuSvn, cpuSvn) }
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

/** SEQUENCE OF { OID, value }, each OID once. @param take - passes the value */
function readParts(reader: DerReader, end: number, take: (oid: string) => void): void {
  const oids: string[] = []
  while (reader.offset < end) {
    if (oids.length === MAX_PARTS) reader.fail('extension', 'too many parts')
    const partEnd = reader.descend(TAG.sequence, 'part')
    const oid = reader.oid('part')
    if (oids.includes(oid)) reader.fail('part', `${oid} twice`)
    oids.push(oid)
    take(oid)
    reader.close(partEnd, 'part')
  }
  reader.close(end, 'extension')
}

function need<Value>(oid: string, value: Value | undefined): Value {
  if (value === undefined) throw new FormatError(FORMAT, oid, 0, 'is missing')
  return value
}

function octets(reader: DerReader, size: number): Uint8Array {
  const bytes = reader.octetString('value')
  if (bytes.length !== size)
    throw new FormatError(FORMAT, 'value', 0, `${bytes.length} bytes, wanted ${size}`)
  return bytes
}

function integer(reader: DerReader, limit: number): number {
  const value = reader.smallInteger('value')
  if (value > limit) throw new FormatError(FORMAT, 'value', 0, `above ${limit}`)
  return value
}

/** Undefined where it is not said, or is said with something else than a truth. */
function readSmt(reader: DerReader): boolean | undefined {
  let smt: boolean | undefined
  readParts(reader, reader.descend(TAG.sequence, 'configuration'), (oid) => {
    if (oid === PART.smtEnabled && reader.peek() === TAG.boolean) smt = reader.boolean('smt')
    else reader.pass('part')
  })
  return smt
}
