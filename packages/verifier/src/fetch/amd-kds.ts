/** AMD's Key Distribution Service (AMD 57230): VCEKs, chains and revocation lists by product line, chip and TCB. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'
import { commonName } from '../formats/x509-name.ts'
import { isSignedBy } from '../formats/x509-verify.ts'
import { amdCertificates } from '../snp/amd-certificates.ts'
import type { SnpEndorsements } from '../snp/appraise.ts'
import { endorsementKind, readEndorsement } from '../snp/endorsement.ts'
import type { SnpEvidence } from '../snp/evidence.ts'
import { PRODUCT_LINES, productLineOf } from '../snp/product.ts'
import type { ProductLine } from '../snp/product.ts'
import { parseSnpReport } from '../snp/report.ts'
import type { SnpReport } from '../snp/report.ts'
import { isSameTcb, readTcb, tcbText } from '../snp/tcb.ts'
import type { Tcb } from '../snp/tcb.ts'
import type { EndorsementClient, ReadAnswer } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'

export const KDS_ADDRESS = 'https://kdsintf.amd.com'

export interface KdsOptions {
  readonly client: EndorsementClient
  /** A mirror, without a slash at the end. Absent: AMD's. */
  readonly address?: string | undefined
  /** ARKs in DER that may sign revocation lists. Absent: AMD's, built in; another is for tests. */
  readonly roots?: readonly Uint8Array[] | undefined
  readonly signal?: AbortSignal | undefined
}

export type KdsKind = 'vcek' | 'vlek'

export interface ChipTcb {
  readonly line: ProductLine
  /** 64 bytes, as in the report; on Turin the service is asked by the first 8. */
  readonly chipId: Uint8Array
  /** The reported TCB: the one for which the VCEK was made. */
  readonly tcb: Tcb
}

const DAY_MS = 86_400_000
const LIMITS = { certificate: 8 << 10, chain: 32 << 10, list: 1 << 20 } as const
const TURIN_ID_BYTES = 8

/** Where the VCEK of a chip at a TCB is. */
export function vcekUrl({ line, chipId, tcb }: ChipTcb, address = KDS_ADDRESS): string {
  const id = toHex(line === 'Turin' ? chipId.subarray(0, TURIN_ID_BYTES) : chipId)
  const parts = [
    ...(tcb.fmc === null ? [] : [`fmcSPL=${twoDigits(tcb.fmc)}`]),
    `blSPL=${twoDigits(tcb.bootloader)}`,
    `teeSPL=${twoDigits(tcb.tee)}`,
    `snpSPL=${twoDigits(tcb.snp)}`,
    `ucodeSPL=${twoDigits(tcb.microcode)}`,
  ]
  return `${address}/vcek/v1/${line}/${id}?${parts.join('&')}`
}

/** The VCEK in DER, made for that chip and that TCB. It never changes its meaning, so it is kept a year. @throws EndorsementFetchError */
export async function fetchVcek(chip: ChipTcb, options: KdsOptions): Promise<Uint8Array> {
  const { client, address, signal } = options
  const { value } = await client.get({
    url: vcekUrl(chip, address),
    headers: { accept: '*/*' },
    maxBytes: LIMITS.certificate,
    freshMs: 365 * DAY_MS,
    signal,
    read: (body) => readVcek(body, chip),
  })
  return value
}

/** ASK or ASVK, then ARK, in DER. @throws EndorsementFetchError */
export async function fetchAmdChain(
  line: ProductLine,
  kind: KdsKind,
  { client, address = KDS_ADDRESS, signal }: KdsOptions,
): Promise<readonly Uint8Array[]> {
  const { value } = await client.get({
    url: `${address}/${kind}/v1/${line}/cert_chain`,
    headers: { accept: '*/*' },
    maxBytes: LIMITS.chain,
    freshMs: 30 * DAY_MS,
    signal,
    read: (body) => readChain(body, line, kind),
  })
  return value
}

/** The revocation list of a line in DER, signed by its ARK and in date. @throws EndorsementFetchError */
export async function fetchAmdRevocationList(
  line: ProductLine,
  kind: KdsKind,
  { client, address = KDS_ADDRESS, roots, signal }: KdsOptions,
): Promise<Uint8Array> {
  const { value } = await client.get({
    url: `${address}/${kind}/v1/${line}/crl`,
    headers: { accept: '*/*' },
    maxBytes: LIMITS.list,
    freshMs: DAY_MS,
    signal,
    read: (body) => readList(body, line, roots ?? amdCertificates()),
  })
  return value
}

/**
 * What a report needs beside what it brings: VCEK (unless a leaf of its kind came along), chain and revocation list. A VLEK is only given out to
 * the cloud provider, so Evidence with one has to bring it.
 *
 * @param line - for reports of version 2, which do not say; asked only where report and certificates do not tell
 * @throws EndorsementFetchError; `fetch.subject-unknown` when the report cannot be read, hides its chip or does not tell its line
 */
export async function fetchSnpEndorsements(
  evidence: SnpEvidence,
  options: KdsOptions & { readonly line?: ProductLine | undefined },
): Promise<Required<SnpEndorsements> & { readonly line: ProductLine }> {
  const report = readReport(evidence.report)
  const leaves = leavesOf(evidence.certificates ?? [])
  const line = lineOf(report, leaves) ?? options.line
  if (line === undefined)
    throw new EndorsementFetchError('fetch.subject-unknown', {
      problem: 'a report of version 2 does not name its product line',
    })
  const kind: KdsKind = report.keyInfo.signingKey === 'vlek' ? 'vlek' : 'vcek'
  const brought = leaves.some((leaf) => endorsementKind(leaf) === kind)
  const leaf = brought || kind === 'vlek' ? [] : [await fetchVcek(chipOf(report, line), options)]
  if (kind === 'vlek' && !brought)
    throw new EndorsementFetchError('fetch.subject-unknown', {
      problem: 'a VLEK certificate comes from the cloud provider, along with the report',
    })
  return {
    line,
    certificates: [...leaf, ...(await fetchAmdChain(line, kind, options))],
    revocationLists: [await fetchAmdRevocationList(line, kind, options)],
  }
}

function readReport(bytes: Uint8Array): SnpReport {
  try {
    return parseSnpReport(bytes)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new EndorsementFetchError('fetch.subject-unknown', { problem: cause.message, cause })
  }
}

function chipOf(report: SnpReport, line: ProductLine): ChipTcb {
  if (isZero(report.chipId))
    throw new EndorsementFetchError('fetch.subject-unknown', {
      problem: 'the report hides its chip (MASK_CHIP_ID)',
    })
  return { line, chipId: report.chipId, tcb: readTcb(report.reportedTcb, line) }
}

/** Certificates of the Evidence that are leaves; what cannot be read is nobody's leaf. */
function leavesOf(inputs: readonly Uint8Array[]): readonly Certificate[] {
  return inputs.flatMap((input) => {
    try {
      return toDer([input])
        .map(parseCertificate)
        .filter((certificate) => endorsementKind(certificate) !== undefined)
    } catch (error) {
      if (error instanceof FormatError) return []
      throw error
    }
  })
}

/** By the processor in the report, else by the issuer of a leaf that came along. It picks an address, nothing more. */
function lineOf(report: SnpReport, leaves: readonly Certificate[]): ProductLine | undefined {
  if (report.processor !== undefined) return productLineOf(report.processor)
  const issuers = leaves.map(({ issuer }) => commonName(issuer))
  return PRODUCT_LINES.find((line) =>
    issuers.some((name) => name === `SEV-${line}` || name === `SEV-VLEK-${line}`),
  )
}

function readVcek(body: Uint8Array, { line, chipId, tcb }: ChipTcb): ReadAnswer<Uint8Array> {
  const certificate = parseCertificate(body)
  const endorsement = readEndorsement(certificate)
  if (endorsementKind(certificate) !== 'vcek') throw mismatch('a certificate that is no VCEK')
  if (!isSameTcb(endorsement.tcb, tcb)) throw mismatch(`a VCEK for ${tcbText(endorsement.tcb)}`)
  const id = line === 'Turin' ? chipId.subarray(0, TURIN_ID_BYTES) : chipId
  const { hardwareId } = endorsement
  if (hardwareId === undefined || !equalBytes(hardwareId, id))
    throw mismatch('a VCEK of another chip')
  return { value: body, expires: certificate.notAfter }
}

function readChain(
  body: Uint8Array,
  line: ProductLine,
  kind: KdsKind,
): ReadAnswer<readonly Uint8Array[]> {
  const ders = toDer([body])
  const certificates = ders.map(parseCertificate)
  const names = certificates.map(({ subject }) => commonName(subject) ?? '')
  const wanted = [kind === 'vcek' ? `SEV-${line}` : `SEV-VLEK-${line}`, `ARK-${line}`]
  const right = wanted.every((name, index) => names[index]?.endsWith(name) === true)
  if (names.length !== wanted.length || !right) throw mismatch(`a chain of ${names.join(', ')}`)
  const ends = certificates.map(({ notAfter }) => notAfter.getTime())
  return { value: ders, expires: new Date(Math.min(...ends)) }
}

async function readList(
  body: Uint8Array,
  line: ProductLine,
  roots: readonly Uint8Array[],
): Promise<ReadAnswer<Uint8Array>> {
  const list = parseRevocationList(body)
  if (commonName(list.issuer)?.endsWith(`ARK-${line}`) !== true)
    throw mismatch(`a list of ${commonName(list.issuer)}`)
  const issuers = roots
    .map(parseCertificate)
    .filter(({ subject }) => equalBytes(subject.raw, list.issuer.raw))
  for (const issuer of issuers)
    if (await isSignedBy(list, issuer)) return { value: body, expires: list.nextUpdate }
  throw new EndorsementFetchError('fetch.content-unsigned', { problem: `list of ARK-${line}` })
}

function mismatch(problem: string): EndorsementFetchError {
  return new EndorsementFetchError('fetch.content-mismatch', { problem: problem.slice(0, 200) })
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
