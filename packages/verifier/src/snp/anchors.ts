/** Roots that SNP Evidence may end in, and the exact names that chains under them carry. */
import { toHex } from '../bytes/hex.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import type { Name, NameAttribute } from '../formats/x509-name.ts'
import type { ProductLine } from './product.ts'

export type ChainRole = 'ark' | 'ask' | 'asvk' | 'vcek' | 'vlek'

/** How an authority names its certificates: attributes that all share, and what stands before each common name. */
export interface ChainNaming {
  readonly shared: readonly NameAttribute[]
  readonly prefix: string
  /** Base address of the revocation lists that intermediates must name; absent means that none is demanded. */
  readonly listBase?: string
}

export interface HardwareRoot {
  readonly kind: 'hardware'
  readonly line: ProductLine
  /** SHA-256 of the root certificate in DER, lowercase hex. */
  readonly fingerprint: string
  readonly naming: ChainNaming
}

export interface SimulatedRoot {
  readonly kind: 'simulated'
  readonly line: ProductLine
  readonly fingerprint: string
  readonly naming: ChainNaming
}

export type SnpRoot = HardwareRoot | SimulatedRoot

export const AMD_NAMING: ChainNaming = {
  shared: [
    { oid: NAME_OID.organizationalUnit, value: 'Engineering' },
    { oid: NAME_OID.country, value: 'US' },
    { oid: NAME_OID.locality, value: 'Santa Clara' },
    { oid: NAME_OID.state, value: 'CA' },
    { oid: NAME_OID.organization, value: 'Advanced Micro Devices' },
  ],
  prefix: '',
  listBase: 'https://kdsintf.amd.com',
}

/** A simulated processor must call itself that in every certificate, so that no reader can take it for AMD. */
export const SIMULATED_NAMING: ChainNaming = {
  shared: [
    { oid: NAME_OID.organization, value: 'Cloister SIMULATED secure processor' },
    { oid: NAME_OID.organizationalUnit, value: 'SIMULATED, protects nothing' },
  ],
  prefix: 'SIMULATED ',
}

/** The only hardware anchors. Nothing adds to them. */
export const AMD_ROOTS: readonly HardwareRoot[] = [
  amdRoot('Milan', '69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd'),
  amdRoot('Genoa', '4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1'),
  amdRoot('Turin', '1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a'),
]

/** The attributes of one certificate's subject, in AMD's order. */
export function chainName(
  naming: ChainNaming,
  role: ChainRole,
  line: ProductLine,
): NameAttribute[] {
  const value = naming.prefix + commonNameOf(role, line)
  return [...naming.shared, { oid: NAME_OID.commonName, value }]
}

/** Whether a name has exactly these attributes, each once, in any order. */
export function isNamed(name: Name, wanted: readonly NameAttribute[]): boolean {
  const have = name.attributes
  const isIn = ({ oid, value }: NameAttribute, list: readonly NameAttribute[]) =>
    list.some((other) => other.oid === oid && other.value === value)
  return (
    have.length === wanted.length &&
    wanted.every((attribute) => isIn(attribute, have)) &&
    have.every((attribute) => isIn(attribute, wanted))
  )
}

/** Lowercase hex without separators, of a fingerprint that a person may have typed. @throws RangeError */
export function normaliseFingerprint(text: string | Uint8Array): string {
  const hex = typeof text === 'string' ? text.replaceAll(':', '').toLowerCase() : toHex(text)
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new RangeError('a fingerprint is 32 bytes in hex')
  return hex
}

function commonNameOf(role: ChainRole, line: ProductLine): string {
  switch (role) {
    case 'ark':
      return `ARK-${line}`
    case 'ask':
      return `SEV-${line}`
    case 'asvk':
      return `SEV-VLEK-${line}`
    case 'vcek':
      return 'SEV-VCEK'
    case 'vlek':
      return 'SEV-VLEK'
    default:
      return role satisfies never
  }
}

function amdRoot(line: ProductLine, fingerprint: string): HardwareRoot {
  return { kind: 'hardware', line, fingerprint, naming: AMD_NAMING }
}
