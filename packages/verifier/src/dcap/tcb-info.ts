/** Intel's TCB info, versions 2 (SGX) and 3 (SGX and TDX): JSON whose exact text is signed (PCS API v4). */
import { FormatError } from '../bytes/format-error.ts'
import { fieldOf, listOf, numberOf, objectOf } from '../formats/json-fields.ts'
import { SignedJson, readHex, readText, readTime, tcbLevelFields } from './signed-json.ts'
import type { TcbLevelFields } from './signed-json.ts'

const FORMAT = 'TCB info'
const COMPONENTS = 16

export interface TcbLevel extends TcbLevelFields {
  readonly sgxComponents: readonly number[]
  readonly pceSvn: number
  /** TDX only. */
  readonly tdxComponents: readonly number[] | undefined
}

export interface SvnLevel extends TcbLevelFields {
  readonly isvSvn: number
}

export interface TdxModule {
  /** 48 bytes. */
  readonly mrSigner: Uint8Array
  /** 8 bytes each. */
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
}

export interface TdxModuleIdentity extends TdxModule {
  /** `TDX_01`, … in upper case. */
  readonly id: string
  /** Newest first. */
  readonly levels: readonly SvnLevel[]
}

export interface TcbInfo {
  readonly signed: SignedJson
  readonly id: 'SGX' | 'TDX'
  readonly issueDate: Date
  readonly nextUpdate: Date
  /** Lowercase hex. */
  readonly fmspc: string
  readonly pceId: string
  readonly evaluationDataNumber: number
  readonly tdxModule: TdxModule | undefined
  readonly tdxModuleIdentities: readonly TdxModuleIdentity[]
  /** Highest first, whatever the order of the file. */
  readonly levels: readonly TcbLevel[]
}

/** @param bytes - `{"tcbInfo": {…}, "signature": "…"}`. @throws FormatError */
export function parseTcbInfo(bytes: Uint8Array): TcbInfo {
  const signed = new SignedJson(FORMAT, bytes, 'tcbInfo')
  const json = signed.value
  const version = numberOf(FORMAT, 'version', json['version'], 100)
  if (version !== 2 && version !== 3)
    throw new FormatError(FORMAT, 'version', 0, `${version}, wanted 2 or 3`)
  const id = version === 2 ? 'SGX' : json['id']
  if (id !== 'SGX' && id !== 'TDX') throw new FormatError(FORMAT, 'id', 0, 'neither SGX nor TDX')
  if (numberOf(FORMAT, 'tcbType', json['tcbType'], 100) !== 0)
    throw new FormatError(FORMAT, 'tcbType', 0, 'not 0')
  const levels = listOf(FORMAT, 'tcbLevels', json['tcbLevels'], 256).map((level) =>
    readLevel(level, version, id),
  )
  return {
    signed,
    id,
    issueDate: readTime(FORMAT, 'issueDate', json['issueDate']),
    nextUpdate: readTime(FORMAT, 'nextUpdate', json['nextUpdate']),
    fmspc: readText(FORMAT, 'fmspc', json['fmspc']).toLowerCase(),
    pceId: readText(FORMAT, 'pceId', json['pceId']).toLowerCase(),
    evaluationDataNumber: numberOf(
      FORMAT,
      'tcbEvaluationDataNumber',
      json['tcbEvaluationDataNumber'] ?? 0,
      1_000_000,
    ),
    tdxModule: json['tdxModule'] === undefined ? undefined : readModule(json['tdxModule']),
    tdxModuleIdentities: readModuleIdentities(json['tdxModuleIdentities']),
    levels: levels.sort(descending),
  }
}

function readLevel(value: unknown, version: number, id: 'SGX' | 'TDX'): TcbLevel {
  const level = objectOf(FORMAT, 'tcbLevel', value)
  const tcb = objectOf(FORMAT, 'tcb', level['tcb'])
  return {
    ...tcbLevelFields(FORMAT, level),
    sgxComponents:
      version === 2 ? readLegacyComponents(tcb) : readComponents(tcb, 'sgxtcbcomponents'),
    pceSvn: numberOf(FORMAT, 'pcesvn', tcb['pcesvn'], 65_535),
    tdxComponents: id === 'TDX' ? readComponents(tcb, 'tdxtcbcomponents') : undefined,
  }
}

function readComponents(tcb: Readonly<Record<string, unknown>>, name: string): number[] {
  const list = listOf(FORMAT, name, fieldOf(FORMAT, tcb, name), COMPONENTS)
  if (list.length !== COMPONENTS) throw new FormatError(FORMAT, name, 0, 'not 16 components')
  return list.map((entry) => numberOf(FORMAT, name, objectOf(FORMAT, name, entry)['svn'], 255))
}

function readLegacyComponents(tcb: Readonly<Record<string, unknown>>): number[] {
  return Array.from({ length: COMPONENTS }, (_, index) => {
    const name = `sgxtcbcomp${String(index + 1).padStart(2, '0')}svn`
    return numberOf(FORMAT, name, fieldOf(FORMAT, tcb, name), 255)
  })
}

function readModule(value: unknown): TdxModule {
  const module = objectOf(FORMAT, 'tdxModule', value)
  return {
    mrSigner: readHex(FORMAT, 'mrsigner', module['mrsigner'], 48),
    attributes: readHex(FORMAT, 'attributes', module['attributes'], 8),
    attributesMask: readHex(FORMAT, 'attributesMask', module['attributesMask'], 8),
  }
}

function readModuleIdentities(value: unknown): TdxModuleIdentity[] {
  if (value === undefined) return []
  return listOf(FORMAT, 'tdxModuleIdentities', value, 32).map((entry) => {
    const identity = objectOf(FORMAT, 'tdxModuleIdentity', entry)
    return {
      ...readModule(identity),
      id: readText(FORMAT, 'id', identity['id']).toUpperCase(),
      levels: readSvnLevels(FORMAT, identity['tcbLevels']),
    }
  })
}

/** Levels by isvsvn, newest first: of module identities and of QE identities. */
export function readSvnLevels(format: string, value: unknown): SvnLevel[] {
  const levels = listOf(format, 'tcbLevels', value, 256).map((entry) => {
    const level = objectOf(format, 'tcbLevel', entry)
    const tcb = objectOf(format, 'tcb', level['tcb'])
    const isvSvn = numberOf(format, 'isvsvn', tcb['isvsvn'], 65_535)
    return { ...tcbLevelFields(format, level), isvSvn }
  })
  return levels.sort((a, b) => b.isvSvn - a.isvSvn)
}

function descending(a: TcbLevel, b: TcbLevel): number {
  return (
    compareLists(b.sgxComponents, a.sgxComponents) ||
    b.pceSvn - a.pceSvn ||
    compareLists(b.tdxComponents ?? [], a.tdxComponents ?? [])
  )
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
