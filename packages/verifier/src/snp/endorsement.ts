/** AMD's extensions in VCEK and VLEK certificates (AMD 57230, prefix 1.3.6.1.4.1.3704.1). */
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { DerReader, TAG } from '../formats/der-reader.ts'
import { extensionValue } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import type { Tcb } from './tcb.ts'

const FORMAT = 'AMD endorsement'
const PREFIX = '1.3.6.1.4.1.3704.1'

export const ENDORSEMENT_OID = {
  structureVersion: `${PREFIX}.1`,
  productName: `${PREFIX}.2`,
  bootloader: `${PREFIX}.3.1`,
  tee: `${PREFIX}.3.2`,
  snp: `${PREFIX}.3.3`,
  microcode: `${PREFIX}.3.8`,
  fmc: `${PREFIX}.3.9`,
  hardwareId: `${PREFIX}.4`,
  cspId: `${PREFIX}.5`,
} as const

export interface Endorsement {
  /** 0 for Milan and Genoa, 1 for Turin. */
  readonly structureVersion: number
  /** `Milan-B0`, `Genoa`, … */
  readonly productName: string
  readonly tcb: Tcb
  /** 64 bytes, 8 on Turin; a VCEK has one, a VLEK has none. */
  readonly hardwareId: Uint8Array | undefined
  /** The cloud provider; a VLEK has one, a VCEK has none. */
  readonly cspId: string | undefined
}

/** @throws FormatError when an extension is missing or malformed; nothing is skipped */
export function readEndorsement(certificate: Certificate): Endorsement {
  const number = (name: keyof typeof ENDORSEMENT_OID) =>
    readNumber(required(certificate, name), name)
  const structureVersion = number('structureVersion')
  const hasFmc = extensionValue(certificate, ENDORSEMENT_OID.fmc) !== undefined
  return {
    structureVersion,
    productName: readIa5(required(certificate, 'productName'), 'productName'),
    tcb: {
      fmc: hasFmc ? number('fmc') : null,
      bootloader: number('bootloader'),
      tee: number('tee'),
      snp: number('snp'),
      microcode: number('microcode'),
    },
    hardwareId: readHardwareId(extensionValue(certificate, ENDORSEMENT_OID.hardwareId)),
    cspId: readCspId(extensionValue(certificate, ENDORSEMENT_OID.cspId)),
  }
}

/** What a certificate calls itself; undefined for one that is neither. */
export function endorsementKind(certificate: Certificate): 'vcek' | 'vlek' | undefined {
  const name = commonName(certificate.subject)
  if (name?.endsWith('SEV-VCEK') === true) return 'vcek'
  return name?.endsWith('SEV-VLEK') === true ? 'vlek' : undefined
}

function required(certificate: Certificate, name: keyof typeof ENDORSEMENT_OID): Uint8Array {
  const value = extensionValue(certificate, ENDORSEMENT_OID[name])
  if (value === undefined) throw new FormatError(FORMAT, name, 0, 'extension is missing')
  return value
}

function readNumber(value: Uint8Array, field: string): number {
  const reader = new DerReader(FORMAT, value)
  const number = reader.smallInteger(field)
  reader.end()
  return number > 255 ? reader.fail(field, 'above 255') : number
}

function readIa5(value: Uint8Array, field: string): string {
  const reader = new DerReader(FORMAT, value)
  const { contents } = reader.element(TAG.ia5String, field)
  reader.end()
  return fromUtf8(FORMAT, field, contents)
}

function readCspId(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : readIa5(value, 'cspId')
}

/**
 * AMD writes the id bare; an OCTET STRING around it is accepted too. Total length decides, for an id may well begin with
 * the byte of an OCTET STRING.
 */
function readHardwareId(value: Uint8Array | undefined): Uint8Array | undefined {
  if (value === undefined || value.length === 64 || value.length === 8) return value
  const reader = new DerReader(FORMAT, value)
  const id = reader.octetString('hardwareId')
  reader.end()
  if (id.length !== 64 && id.length !== 8) reader.fail('hardwareId', `${id.length} bytes`)
  return id
}
