/** Secure Boot as PCR 7 has it (register 1 of a CCEL): the variables before the separator, the authorities after it. */
import { FormatError } from '../bytes/format-error.ts'
import { EVENT_TYPE } from './event-types.ts'
import { parseSignatureData, parseSignatureLists, parseUefiVariable } from './uefi-variable.ts'
import type { SignatureEntry, UefiVariable } from './uefi-variable.ts'
import type { VerifiedEvent } from './verified-event.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
/** The variables that firmware measures before all else, in its order, and the vendor GUID of each. */
export const SECURE_BOOT_VARIABLES = {
  SecureBoot: GLOBAL,
  PK: GLOBAL,
  KEK: GLOBAL,
  db: SECURITY_DATABASE,
  dbx: SECURITY_DATABASE,
} as const
type VariableName = keyof typeof SECURE_BOOT_VARIABLES
const NAMES = Object.keys(SECURE_BOOT_VARIABLES) as readonly VariableName[]

export interface Authority {
  /** Variable that held it: `db`, or `Shim`, `SbatLevel`, … of shim. */
  readonly name: string
  readonly data: Uint8Array
  /** Whether the digest is of this data. Some versions of shim measure something else. */
  readonly verified: boolean
}

export interface SecureBoot {
  readonly enabled: boolean
  readonly platformKeys: readonly SignatureEntry[]
  readonly keyExchangeKeys: readonly SignatureEntry[]
  readonly allowed: readonly SignatureEntry[]
  readonly forbidden: readonly SignatureEntry[]
  readonly authorities: readonly Authority[]
}

/**
 * @param events - of the one register, in order
 * @throws FormatError when a variable is missing, empty, there twice, malformed, not what its digest is of, or late
 */
export function readSecureBoot(events: readonly VerifiedEvent[]): SecureBoot {
  const found = new Map<VariableName, Uint8Array>()
  const authorities: Authority[] = []
  let separated = false
  for (const event of events) {
    if (event.type === EVENT_TYPE.separator) separated = true
    if (event.type === EVENT_TYPE.variableAuthority) authorities.push(readAuthority(event))
    if (event.type !== EVENT_TYPE.variableDriverConfig) continue
    const { vendor, name, data } = parseUefiVariable(event.data)
    if (!isVariable(name) || SECURE_BOOT_VARIABLES[name] !== vendor) continue
    if (separated || found.has(name) || !event.verified)
      throw new FormatError('Secure Boot', name, event.offset, problemOf(separated, event))
    found.set(name, data)
  }
  const missing = NAMES.find((name) => !found.has(name))
  if (missing !== undefined) throw new FormatError('Secure Boot', missing, 0, 'is missing')
  const listsOf = (name: VariableName) => parseSignatureLists(found.get(name) ?? new Uint8Array())
  return {
    enabled: readSwitch(found.get('SecureBoot') ?? new Uint8Array()),
    platformKeys: listsOf('PK'),
    keyExchangeKeys: listsOf('KEK'),
    allowed: listsOf('db'),
    forbidden: listsOf('dbx'),
    authorities,
  }
}

function isVariable(name: string): name is VariableName {
  return Object.hasOwn(SECURE_BOOT_VARIABLES, name)
}

function problemOf(separated: boolean, { verified }: VerifiedEvent): string {
  if (!verified) return 'is not what its digest is of'
  return separated ? 'is measured after the separator' : 'is measured twice'
}

function readSwitch(data: Uint8Array): boolean {
  const [value] = data
  if (data.length !== 1 || (value !== 0 && value !== 1))
    throw new FormatError('Secure Boot', 'SecureBoot', 0, `${data.length} bytes, wanted 00 or 01`)
  return value === 1
}

function readAuthority(event: VerifiedEvent): Authority {
  const variable = parseUefiVariable(event.data, event.verified ? 'exact' : 'any')
  return { name: variable.name, data: authorityData(variable), verified: event.verified }
}

/** Firmware measures the entry of `db` with its owner; shim measures the bare certificate or text. */
function authorityData({ vendor, data }: UefiVariable): Uint8Array {
  return vendor === SECURITY_DATABASE ? parseSignatureData(data).data : data
}
