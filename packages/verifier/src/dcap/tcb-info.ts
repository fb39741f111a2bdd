/** Intel's TCB info, versions 2 (SGX) and 3 (SGX and TDX): JSON whose exact text is signed (PCS API v4). */
import type { JsonReader } from '../formats/json-reader.ts'
import {
  LEVEL_NAMES,
  TcbLevelReader,
  readSignedJson,
  readText,
  readTime,
  required,
} from './signed-json.ts'
import type { SignedJson, TcbLevelFields } from './signed-json.ts'

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

const INFO_NAMES = [
  'id',
  'version',
  'issueDate',
  'nextUpdate',
  'fmspc',
  'pceId',
  'tcbType',
  'tcbEvaluationDataNumber',
  'tdxModule',
  'tdxModuleIdentities',
  'tcbLevels',
] as const

/** @param bytes - `{"tcbInfo": {…}, "signature": "…"}`. @throws FormatError */
export function parseTcbInfo(bytes: Uint8Array): TcbInfo {
  return readSignedJson(FORMAT, bytes, 'tcbInfo', readTcbInfo)
}

function readTcbInfo(reader: JsonReader): Omit<TcbInfo, 'signed'> {
  let named: 'SGX' | 'TDX' | undefined
  let version: number | undefined
  let issueDate: Date | undefined
  let nextUpdate: Date | undefined
  let fmspc: string | undefined
  let pceId: string | undefined
  let tcbType: number | undefined
  let evaluationDataNumber = 0
  let tdxModule: TdxModule | undefined
  let tdxModuleIdentities: readonly TdxModuleIdentity[] = []
  let read: readonly ReadLevel[] | undefined
  reader.openObject('tcbInfo')
  for (let name = reader.member(INFO_NAMES); name !== undefined; name = reader.member(INFO_NAMES))
    switch (name) {
      case 'id':
        named = reader.oneOf(name, IDS)
        break
      case 'version':
        version = reader.number(name, 100)
        break
      case 'issueDate':
        issueDate = readTime(reader, name)
        break
      case 'nextUpdate':
        nextUpdate = readTime(reader, name)
        break
      case 'fmspc':
        fmspc = readText(reader, name).toLowerCase()
        break
      case 'pceId':
        pceId = readText(reader, name).toLowerCase()
        break
      case 'tcbType':
        tcbType = reader.number(name, 100)
        break
      case 'tcbEvaluationDataNumber':
        evaluationDataNumber = reader.number(name, 1_000_000)
        break
      case 'tdxModule':
        tdxModule = readModule(reader)
        break
      case 'tdxModuleIdentities':
        tdxModuleIdentities = readList(reader, name, 32, readModuleIdentity)
        break
      case 'tcbLevels':
        read = readList(reader, name, 256, readLevel)
        break
      default:
        name satisfies never
    }
  if (version !== 2 && version !== 3) return reader.fail('version', `${version}, wanted 2 or 3`)
  const id = version === 2 ? 'SGX' : named
  if (id === undefined) return reader.fail('id', 'neither SGX nor TDX')
  if (tcbType !== 0) return reader.fail('tcbType', 'not 0')
  const levels = required(reader, 'tcbLevels', read).map((level) =>
    levelOf(reader, level, version, id),
  )
  return {
    id,
    issueDate: required(reader, 'issueDate', issueDate),
    nextUpdate: required(reader, 'nextUpdate', nextUpdate),
    fmspc: required(reader, 'fmspc', fmspc),
    pceId: required(reader, 'pceId', pceId),
    evaluationDataNumber,
    tdxModule,
    tdxModuleIdentities,
    levels: levels.sort(descending),
  }
}

const IDS = ['SGX', 'TDX'] as const

/** A level of either version: which components count is known once the version is. */
interface ReadLevel {
  readonly fields: TcbLevelFields
  readonly tcb: ReadTcb
}

interface ReadTcb {
  pceSvn: number | undefined
  sgx: readonly number[] | undefined
  tdx: readonly number[] | undefined
  /** Of version 2, each component a member of its own. */
  readonly legacy: (number | undefined)[]
}

const TCB_LEVEL_NAMES = ['tcb', ...LEVEL_NAMES] as const

function readLevel(reader: JsonReader): ReadLevel {
  const level = new TcbLevelReader()
  let tcb: ReadTcb | undefined
  reader.openObject('tcbLevel')
  for (
    let name = reader.member(TCB_LEVEL_NAMES);
    name !== undefined;
    name = reader.member(TCB_LEVEL_NAMES)
  )
    if (name === 'tcb') tcb = readTcb(reader)
    else level.take(reader, name)
  return { fields: level.fields(reader), tcb: required(reader, 'tcb', tcb) }
}

const LEGACY_NAMES = Array.from(
  { length: COMPONENTS },
  (_, index) => `sgxtcbcomp${String(index + 1).padStart(2, '0')}svn`,
)
const TCB_NAMES: readonly string[] = [
  'pcesvn',
  'sgxtcbcomponents',
  'tdxtcbcomponents',
  ...LEGACY_NAMES,
]

function readTcb(reader: JsonReader): ReadTcb {
  const tcb: ReadTcb = { pceSvn: undefined, sgx: undefined, tdx: undefined, legacy: [] }
  reader.openObject('tcb')
  for (let name = reader.member(TCB_NAMES); name !== undefined; name = reader.member(TCB_NAMES))
    if (name === 'pcesvn') tcb.pceSvn = reader.number(name, 65_535)
    else if (name === 'sgxtcbcomponents') tcb.sgx = readComponents(reader, name)
    else if (name === 'tdxtcbcomponents') tcb.tdx = readComponents(reader, name)
    else tcb.legacy[LEGACY_NAMES.indexOf(name)] = reader.number(name, 255)
  return tcb
}

function levelOf(
  reader: JsonReader,
  { fields, tcb }: ReadLevel,
  version: 2 | 3,
  id: 'SGX' | 'TDX',
): TcbLevel {
  const legacy = () => LEGACY_NAMES.map((name, index) => required(reader, name, tcb.legacy[index]))
  return {
    tcbDate: fields.tcbDate,
    tcbStatus: fields.tcbStatus,
    advisoryIds: fields.advisoryIds,
    sgxComponents: version === 2 ? legacy() : required(reader, 'sgxtcbcomponents', tcb.sgx),
    pceSvn: required(reader, 'pcesvn', tcb.pceSvn),
    tdxComponents: id === 'TDX' ? required(reader, 'tdxtcbcomponents', tcb.tdx) : undefined,
  }
}

const SVN = ['svn'] as const
const SVN_HEAD = '{"svn":'

function readComponents(reader: JsonReader, field: string): readonly number[] {
  const components: number[] = []
  reader.openList(field)
  while (reader.entry()) {
    if (components.length === COMPONENTS) reader.fail(field, `more than ${COMPONENTS} components`)
    components.push(reader.loneNumber(SVN_HEAD, field, 255) ?? readSvn(reader, field, SVN, 255))
  }
  if (components.length !== COMPONENTS) reader.fail(field, `not ${COMPONENTS} components`)
  return components
}

/** The only member of an object that counts. */
function readSvn(
  reader: JsonReader,
  field: string,
  names: readonly [string],
  limit: number,
): number {
  let svn: number | undefined
  reader.openObject(field)
  while (reader.member(names) !== undefined) svn = reader.number(field, limit)
  return required(reader, field, svn)
}

const MODULE_NAMES = ['mrsigner', 'attributes', 'attributesMask'] as const

function readModule(reader: JsonReader): TdxModule {
  const module = new ModuleReader()
  reader.openObject('tdxModule')
  for (
    let name = reader.member(MODULE_NAMES);
    name !== undefined;
    name = reader.member(MODULE_NAMES)
  )
    module.take(reader, name)
  return module.fields(reader)
}

class ModuleReader {
  mrsigner: Uint8Array | undefined
  attributes: Uint8Array | undefined
  attributesMask: Uint8Array | undefined

  take(reader: JsonReader, name: (typeof MODULE_NAMES)[number]): void {
    this[name] = reader.hex(name, name === 'mrsigner' ? 48 : 8)
  }

  fields(reader: JsonReader): TdxModule {
    return {
      mrSigner: required(reader, 'mrsigner', this.mrsigner),
      attributes: required(reader, 'attributes', this.attributes),
      attributesMask: required(reader, 'attributesMask', this.attributesMask),
    }
  }
}

const IDENTITY_NAMES = ['id', 'tcbLevels', ...MODULE_NAMES] as const

function readModuleIdentity(reader: JsonReader): TdxModuleIdentity {
  const module = new ModuleReader()
  let id: string | undefined
  let levels: readonly SvnLevel[] | undefined
  reader.openObject('tdxModuleIdentity')
  for (
    let name = reader.member(IDENTITY_NAMES);
    name !== undefined;
    name = reader.member(IDENTITY_NAMES)
  )
    if (name === 'id') id = readText(reader, name).toUpperCase()
    else if (name === 'tcbLevels') levels = readSvnLevels(reader)
    else module.take(reader, name)
  return {
    ...module.fields(reader),
    id: required(reader, 'id', id),
    levels: required(reader, 'tcbLevels', levels),
  }
}

/** Levels by isvsvn, newest first: of module identities and of QE identities. */
export function readSvnLevels(reader: JsonReader): readonly SvnLevel[] {
  return readList(reader, 'tcbLevels', 256, readSvnLevel).sort((a, b) => b.isvSvn - a.isvSvn)
}

const ISV_SVN = ['isvsvn'] as const

function readSvnLevel(reader: JsonReader): SvnLevel {
  const level = new TcbLevelReader()
  let isvSvn: number | undefined
  reader.openObject('tcbLevel')
  for (
    let name = reader.member(TCB_LEVEL_NAMES);
    name !== undefined;
    name = reader.member(TCB_LEVEL_NAMES)
  )
    if (name === 'tcb') isvSvn = readSvn(reader, 'isvsvn', ISV_SVN, 65_535)
    else level.take(reader, name)
  return { ...level.fields(reader), isvSvn: required(reader, 'isvsvn', isvSvn) }
}

function readList<Entry>(
  reader: JsonReader,
  field: string,
  limit: number,
  read: (reader: JsonReader) => Entry,
): Entry[] {
  const entries: Entry[] = []
  reader.openList(field)
  while (reader.entry()) {
    if (entries.length === limit) reader.fail(field, `more than ${limit} entries`)
    entries.push(read(reader))
  }
  return entries
}

function descending(a: TcbLevel, b: TcbLevel): number {
  return (
    compareLists(b.sgxComponents, a.sgxComponents) ||
    b.pceSvn - a.pceSvn ||
    compareLists(b.tdxComponents ?? [], a.tdxComponents ?? [])
  )
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < a.length; index++) {
    const difference = (a[index] as number) - (b[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
