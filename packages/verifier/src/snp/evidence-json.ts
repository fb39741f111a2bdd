/**
 * SNP Evidence as CoCo's attestation agent sends it to a KBS: `{"attestation_report": {…}, "cert_chain": null | […]}`, byte fields as
 * arrays of numbers. 64-bit words are JSON numbers there; one that a double cannot hold is refused instead of rounded, unless
 * the text is given, for then it is read exactly.
 */
import { FormatError } from '../bytes/format-error.ts'
import { isZero } from '../bytes/reader.ts'
import type { SnpEvidence } from './evidence.ts'
import {
  byteListOf,
  fieldOf,
  listOf,
  numberOf,
  objectOf,
  optionalOf,
  wordOf,
} from '../formats/json-fields.ts'
import { parseCompactJson } from '../formats/json-text.ts'
import { endorsementKind } from './endorsement.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { toDer } from '../formats/pem.ts'
import { commonName } from '../formats/x509-name.ts'
import { productLineOf } from './product.ts'
import type { ProductLine } from './product.ts'
import { readGuestPolicy, readKeyInfo, readPlatformInfo } from './report-flags.ts'
import { encodeSnpReport, parseSnpReport } from './report.ts'
import type { FirmwareVersion, SnpReport } from './report.ts'
import { encodeTcb, readTcb } from './tcb.ts'

const FORMAT = 'SNP evidence JSON'
const REPORT = 'attestation_report'
const MAX_CERTIFICATES = 16
const MAX_CERTIFICATE_BYTES = 16_384

interface TcbJson {
  readonly fmc: number | null
  readonly bootloader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
}

export interface SnpEvidenceJson {
  readonly attestation_report: Readonly<Record<string, unknown>>
  readonly cert_chain:
    | readonly { readonly cert_type: string; readonly data: readonly number[] }[]
    | null
}

/**
 * @param input - JSON text, its bytes, or the parsed value
 * @returns the report rebuilt to its 1184 bytes, and the certificates
 * @throws FormatError
 */
export function parseSnpEvidenceJson(input: unknown): SnpEvidence {
  const value = objectOf(FORMAT, 'evidence', parseText(input))
  const json = objectOf(FORMAT, REPORT, value[REPORT])
  const report = encodeSnpReport(readReport(json))
  const chain = value['cert_chain']
  if (chain === null || chain === undefined) return { report }
  return { report, ...readChain(listOf(FORMAT, 'cert_chain', chain, MAX_CERTIFICATES)) }
}

/**
 * The same form for sending.
 *
 * @throws FormatError when the report cannot be parsed or holds a word that no JSON number can carry
 */
export function encodeSnpEvidenceJson(evidence: SnpEvidence): SnpEvidenceJson {
  const report = parseSnpReport(evidence.report)
  const certificates = toDer(evidence.certificates ?? []).map((der) => ({
    cert_type: certificateType(der),
    data: [...der],
  }))
  const lists = toDer(evidence.revocationLists ?? []).map((der) => ({
    cert_type: 'CRL',
    data: [...der],
  }))
  const chain = [...certificates, ...lists]
  return {
    attestation_report: writeReport(report),
    cert_chain: chain.length === 0 ? null : chain,
  }
}

function readReport(json: Readonly<Record<string, unknown>>): SnpReport {
  const bytes = (name: string, size: number) => sizedBytes(name, fieldOf(FORMAT, json, name), size)
  const number = (name: string, limit: number) =>
    numberOf(FORMAT, name, fieldOf(FORMAT, json, name), limit)
  const optionalNumber = (name: string) =>
    optionalOf(json[name], (value) => numberOf(FORMAT, name, value, 0xff))
  const word = (name: string) => wordOf(FORMAT, name, fieldOf(FORMAT, json, name))
  const optionalWord = (name: string) =>
    optionalOf(json[name], (value) => wordOf(FORMAT, name, value))
  const version = number('version', 0xffff_ffff)
  const processor = {
    family: optionalNumber('cpuid_fam_id') ?? 0,
    model: optionalNumber('cpuid_mod_id') ?? 0,
    stepping: optionalNumber('cpuid_step') ?? 0,
  }
  const line = version >= 3 ? productLineOf(processor) : undefined
  const tcb = (name: string) => readTcbJson(name, fieldOf(FORMAT, json, name), line)
  const signature = objectOf(FORMAT, 'signature', fieldOf(FORMAT, json, 'signature'))
  const scalar = (name: string) =>
    sizedBytes(`signature.${name}`, fieldOf(FORMAT, signature, name), 72)
  return {
    version,
    guestSvn: number('guest_svn', 0xffff_ffff),
    policy: readGuestPolicy(word('policy')),
    familyId: bytes('family_id', 16),
    imageId: bytes('image_id', 16),
    vmpl: number('vmpl', 0xffff_ffff),
    signatureAlgorithm: number('sig_algo', 0xffff_ffff),
    currentTcb: tcb('current_tcb'),
    platformInfo: readPlatformInfo(word('plat_info')),
    keyInfo: readKeyInfo(number('key_info', 0xffff_ffff)),
    reportData: bytes('report_data', 64),
    measurement: bytes('measurement', 48),
    hostData: bytes('host_data', 32),
    idKeyDigest: bytes('id_key_digest', 48),
    authorKeyDigest: bytes('author_key_digest', 48),
    reportId: bytes('report_id', 32),
    reportIdMa: bytes('report_id_ma', 32),
    reportedTcb: tcb('reported_tcb'),
    processor: version >= 3 ? processor : undefined,
    chipId: bytes('chip_id', 64),
    committedTcb: tcb('committed_tcb'),
    current: readFirmware('current', fieldOf(FORMAT, json, 'current')),
    committed: readFirmware('committed', fieldOf(FORMAT, json, 'committed')),
    launchTcb: tcb('launch_tcb'),
    launchMitigationVector: optionalWord('launch_mit_vector'),
    currentMitigationVector: optionalWord('current_mit_vector'),
    signature: { r: scalar('r'), s: scalar('s') },
    unknownFields: [],
  }
}

function writeReport(report: SnpReport): Readonly<Record<string, unknown>> {
  const { processor, launchMitigationVector, currentMitigationVector } = report
  const line = lineOf(report)
  const tcb = (raw: Uint8Array): TcbJson => readTcb(raw, line)
  return {
    version: report.version,
    guest_svn: report.guestSvn,
    policy: jsonWord('policy', report.policy.raw),
    family_id: [...report.familyId],
    image_id: [...report.imageId],
    vmpl: report.vmpl,
    sig_algo: report.signatureAlgorithm,
    current_tcb: tcb(report.currentTcb),
    plat_info: jsonWord('plat_info', report.platformInfo.raw),
    key_info: report.keyInfo.raw,
    report_data: [...report.reportData],
    measurement: [...report.measurement],
    host_data: [...report.hostData],
    id_key_digest: [...report.idKeyDigest],
    author_key_digest: [...report.authorKeyDigest],
    report_id: [...report.reportId],
    report_id_ma: [...report.reportIdMa],
    reported_tcb: tcb(report.reportedTcb),
    cpuid_fam_id: processor?.family ?? null,
    cpuid_mod_id: processor?.model ?? null,
    cpuid_step: processor?.stepping ?? null,
    chip_id: [...report.chipId],
    committed_tcb: tcb(report.committedTcb),
    current: report.current,
    committed: report.committed,
    launch_tcb: tcb(report.launchTcb),
    launch_mit_vector:
      optionalOf(launchMitigationVector, (word) => jsonWord('launch_mit_vector', word)) ?? null,
    current_mit_vector:
      optionalOf(currentMitigationVector, (word) => jsonWord('current_mit_vector', word)) ?? null,
    signature: { r: [...report.signature.r], s: [...report.signature.s] },
  }
}

/** The line decides the place of the TCB components; `fmc` does where the report does not tell. */
function readTcbJson(name: string, value: unknown, line: ProductLine | undefined): Uint8Array {
  const json = objectOf(FORMAT, name, value)
  const number = (field: string) =>
    numberOf(FORMAT, `${name}.${field}`, fieldOf(FORMAT, json, field), 0xff)
  const fmc = optionalOf(json['fmc'], (value) => numberOf(FORMAT, `${name}.fmc`, value, 0xff))
  const tcb = {
    fmc: fmc ?? null,
    bootloader: number('bootloader'),
    tee: number('tee'),
    snp: number('snp'),
    microcode: number('microcode'),
  }
  return encodeTcb(tcb, line ?? (fmc === undefined ? 'Milan' : 'Turin'))
}

function lineOf({ processor, chipId }: SnpReport): ProductLine {
  const line = processor && productLineOf(processor)
  if (line !== undefined) return line
  // Turin's chip ids have 8 bytes.
  return isZero(chipId.subarray(8)) && !isZero(chipId) ? 'Turin' : 'Milan'
}

function readFirmware(name: string, value: unknown): FirmwareVersion {
  const json = objectOf(FORMAT, name, value)
  const number = (field: string) =>
    numberOf(FORMAT, `${name}.${field}`, fieldOf(FORMAT, json, field), 0xff)
  return { major: number('major'), minor: number('minor'), build: number('build') }
}

function readChain(
  entries: readonly unknown[],
): Pick<SnpEvidence, 'certificates' | 'revocationLists'> {
  const certificates: Uint8Array[] = []
  const revocationLists: Uint8Array[] = []
  for (const entry of entries) {
    const json = objectOf(FORMAT, 'cert_chain', entry)
    const type = fieldOf(FORMAT, json, 'cert_type')
    const bytes = byteListOf(FORMAT, 'data', fieldOf(FORMAT, json, 'data'), MAX_CERTIFICATE_BYTES)
    if (type === 'CRL') revocationLists.push(bytes)
    else if (type === 'VCEK' || type === 'VLEK' || type === 'ASK' || type === 'ARK')
      certificates.push(bytes)
  }
  return { certificates, revocationLists }
}

function certificateType(der: Uint8Array): string {
  const certificate = parseCertificate(der)
  const kind = endorsementKind(certificate)
  if (kind !== undefined) return kind.toUpperCase()
  return commonName(certificate.subject)?.includes('ARK-') === true ? 'ARK' : 'ASK'
}

function sizedBytes(name: string, value: unknown, size: number): Uint8Array {
  const bytes = byteListOf(FORMAT, name, value, size)
  if (bytes.length !== size)
    throw new FormatError(FORMAT, name, 0, `${bytes.length} bytes, wanted ${size}`)
  return bytes
}

function jsonWord(name: string, word: bigint): number {
  if (word > BigInt(Number.MAX_SAFE_INTEGER))
    throw new FormatError(FORMAT, name, 0, 'too large for a JSON number')
  return Number(word)
}

function parseText(input: unknown): unknown {
  return typeof input === 'string' || input instanceof Uint8Array
    ? parseCompactJson(FORMAT, input)
    : input
}
