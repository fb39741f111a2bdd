/**
 * Who vouches for an SNP report: algorithm, chain to a pinned root, the leaf's fit with the report, signature, dates, revocation.
 * Compares nothing with what anybody expects: see `appraise.ts`.
 */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import type { SnpRoot } from './anchors.ts'
import { findChain } from './chain.ts'
import type { SnpChain } from './chain.ts'
import type { SnpCheckCode } from './check-codes.ts'
import { readEndorsement } from './endorsement.ts'
import { structureVersionOf } from './endorsement-issue.ts'
import type { SnpEvidence } from './evidence.ts'
import { productLineOf } from './product.ts'
import type { ProductLine } from './product.ts'
import { ECDSA_P384_SHA384, REPORT_SIGNED_SIZE, VMPL_HOST, parseSnpReport } from './report.ts'
import type { SnpReport } from './report.ts'
import { signatureToP1363 } from './report-signature.ts'
import { checkRevocation } from './revocation.ts'
import { hasOnlyKnownComponents, isSameTcb, readTcb, tcbText } from './tcb.ts'

type Checks = CheckSink<SnpCheckCode>

export interface SnpVerifyOptions {
  /** Further certificates and lists, DER or PEM. */
  readonly endorsements: {
    readonly certificates?: readonly Uint8Array[]
    readonly revocationLists?: readonly Uint8Array[]
  }
  readonly now: Date
  readonly hardwareRoots: readonly SnpRoot[]
  /** Fingerprints, lowercase hex. */
  readonly simulatedRoots: readonly string[]
  readonly requireRevocationList: boolean
  readonly allowMaskedChipId: boolean
  readonly allowUnknownReservedBits: boolean
  readonly cache?: EndorsementCache | undefined
}

export interface VerifiedSnpReport {
  readonly report: SnpReport
  readonly line: ProductLine
  readonly chain: SnpChain
}

const MAX_CERTIFICATES = 64

/** The report's fields, checked for shape only. */
export function readReport(
  bytes: Uint8Array,
  allowUnknownReservedBits: boolean,
  checks: Checks,
): SnpReport | undefined {
  try {
    const report = parseSnpReport(bytes, { reserved: 'report' })
    checks.add('snp.report.malformed', 'pass')
    checks.add('snp.report.version-unsupported', 'pass', { received: `${report.version}` })
    const unknown = report.unknownFields.join(', ')
    const outcome = unknown === '' ? 'pass' : allowUnknownReservedBits ? 'warning' : 'fail'
    checks.add('snp.report.reserved-bits', outcome, { received: unknown })
    return report
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const version = error.field === 'version'
    const code = version ? 'snp.report.version-unsupported' : 'snp.report.malformed'
    checks.add(code, 'fail', { received: error.message, where: 'report' })
    return undefined
  }
}

/** The verified report, or undefined with the reason among the checks. Other failures may stand there too. */
export async function verifySnpReport(
  evidence: SnpEvidence,
  report: SnpReport,
  options: SnpVerifyOptions,
  checks: Checks,
): Promise<VerifiedSnpReport | undefined> {
  const kind = checkSigningKey(report, checks)
  if (kind === undefined) return undefined
  const chain = await endorsementChain(evidence, report, kind, options, checks)
  if (chain === undefined) return undefined
  const { line } = chain.root
  const fits = checkProduct(report, chain, checks)
  checkTcbLayout(report, line, checks)
  checkLeaf(report, chain, options, checks)
  checkDates(chain, options.now, checks)
  await checkRevocation(
    chain,
    {
      lists: [...(evidence.revocationLists ?? []), ...(options.endorsements.revocationLists ?? [])],
      now: options.now,
      required: options.requireRevocationList,
      cache: options.cache,
    },
    checks,
  )
  const signed = await checkSignature(evidence.report, report, chain, checks)
  return fits && signed ? { report, line, chain } : undefined
}

function checkSigningKey(report: SnpReport, checks: Checks): 'vcek' | 'vlek' | undefined {
  const { keyInfo, signatureAlgorithm, vmpl } = report
  const algorithm = checks.require(
    'snp.report.algorithm-unsupported',
    signatureAlgorithm === ECDSA_P384_SHA384,
    { expected: '1', received: `${signatureAlgorithm}`, where: 'report 0x34..0x38' },
  )
  const signing = checks.require('snp.report.chip-key-masked', !keyInfo.chipKeyMasked, {
    where: 'report 0x48..0x4c',
  })
  checks.require('snp.report.host-requested', vmpl !== VMPL_HOST, { where: 'report 0x30..0x34' })
  const { signingKey } = keyInfo
  const known = signingKey === 'vcek' || signingKey === 'vlek'
  checks.require('snp.report.signing-key-unsupported', known, {
    expected: 'vcek or vlek',
    received: signingKey,
    where: 'report 0x48..0x4c',
  })
  return algorithm && signing && known ? signingKey : undefined
}

/** A chain with the certificates that it was found among, compared byte for byte: cheaper than a digest over them, and as sure. */
interface KnownChain {
  readonly inputs: readonly Uint8Array[]
  readonly chain: SnpChain
}

/** More than this is verified anew each time, so that junk beside a good chain cannot fill the cache's memory. */
const MAX_CACHED_BYTES = 65_536

/** The chain, from the cache when the same certificates were verified for the same leaf before. */
async function endorsementChain(
  evidence: SnpEvidence,
  report: SnpReport,
  kind: 'vcek' | 'vlek',
  options: SnpVerifyOptions,
  checks: Checks,
): Promise<SnpChain | undefined> {
  const given = [...(evidence.certificates ?? []), ...(options.endorsements.certificates ?? [])]
  const { cache, now, hardwareRoots, simulatedRoots } = options
  const key = cache && cacheKey(given, report, kind, options)
  const known = key === undefined ? undefined : (cache?.get(key, now) as KnownChain | undefined)
  if (known !== undefined && areSame(known.inputs, given)) {
    const { chain } = known
    checks.add('snp.endorsement.signature-invalid', 'pass', { where: 'leaf, verified before' })
    checks.add('snp.endorsement.untrusted-root', 'pass', { received: chain.root.fingerprint })
    return chain
  }
  // What is kept must neither change with the caller's buffers nor keep them alive.
  const inputs = key === undefined ? given : given.map((input) => Uint8Array.from(input))
  const certificates = parseCertificates(inputs, checks)
  if (certificates === undefined) return undefined
  const isForReport = (leaf: Certificate) => isLeafOf(leaf, report)
  const chain = await findChain(
    { kind, certificates, hardwareRoots, simulatedRoots, isForReport },
    checks,
  )
  if (chain !== undefined && key !== undefined) cache?.set(key, { inputs, chain }, now)
  return chain
}

/** With the inputs, everything that {@link findChain} depends on. Undefined for more than is kept. */
function cacheKey(
  inputs: readonly Uint8Array[],
  report: SnpReport,
  kind: string,
  { hardwareRoots, simulatedRoots }: SnpVerifyOptions,
): string | undefined {
  let lengths = ''
  let total = 0
  for (const { length } of inputs) {
    lengths += `,${length}`
    total += length
  }
  if (total > MAX_CACHED_BYTES) return undefined
  let roots = ''
  for (const { fingerprint } of hardwareRoots) roots += fingerprint
  for (const fingerprint of simulatedRoots) roots += `,${fingerprint}`
  return `snp:${kind}:${toHex(report.chipId)}:${toHex(report.reportedTcb)}:${roots}:${lengths}`
}

function areSame(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return (
    a.length === b.length && a.every((bytes, index) => equalBytes(bytes, b[index] as Uint8Array))
  )
}

function parseCertificates(
  inputs: readonly Uint8Array[],
  checks: Checks,
): Certificate[] | undefined {
  try {
    const ders = toDer(inputs)
    if (ders.length > MAX_CERTIFICATES)
      throw new FormatError(
        'endorsements',
        'count',
        0,
        `more than ${MAX_CERTIFICATES} certificates`,
      )
    return ders.map(parseCertificate)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('snp.endorsement.malformed', 'fail', {
      received: error.message,
      where: 'certificates',
    })
    return undefined
  }
}

function isLeafOf(leaf: Certificate, report: SnpReport): boolean {
  try {
    const { hardwareId, tcb, structureVersion } = readEndorsement(leaf)
    const line = structureVersion === 0 ? 'Milan' : 'Turin'
    const chip = hardwareId === undefined || isChip(hardwareId, report.chipId)
    return chip && isSameTcb(tcb, readTcb(report.reportedTcb, line))
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

function checkProduct(report: SnpReport, { root, endorsement }: SnpChain, checks: Checks): boolean {
  const { line } = root
  const named = endorsement.productName === line || endorsement.productName.startsWith(`${line}-`)
  checks.require('snp.endorsement.structure-mismatch', isStructure(endorsement, line), {
    expected: `${structureVersionOf(line)}`,
    received: `${endorsement.structureVersion}`,
    where: 'leaf extension .1',
  })
  // A version 2 report does not say its processor: the chain alone does.
  const processor = report.processor
  const claimed = processor === undefined ? line : productLineOf(processor)
  checks.require('snp.product.unknown', claimed !== undefined, {
    received:
      processor &&
      `family 0x${processor.family.toString(16)}, model 0x${processor.model.toString(16)}`,
    where: 'report 0x188..0x18b',
  })
  const matches = named && (claimed === undefined || claimed === line)
  checks.require('snp.product.mismatch', matches, {
    expected: line,
    received: `${claimed ?? 'unknown'}, leaf ${endorsement.productName}`,
  })
  return matches && claimed !== undefined
}

function isStructure(endorsement: SnpChain['endorsement'], line: ProductLine): boolean {
  const hasFmc = endorsement.tcb.fmc !== null
  return endorsement.structureVersion === structureVersionOf(line) && hasFmc === (line === 'Turin')
}

function checkTcbLayout(report: SnpReport, line: ProductLine, checks: Checks): void {
  const { currentTcb, reportedTcb, committedTcb, launchTcb } = report
  const all = [currentTcb, reportedTcb, committedTcb, launchTcb]
  checks.require(
    'snp.tcb.unknown-component',
    all.every((raw) => hasOnlyKnownComponents(raw, line)),
  )
}

function checkLeaf(
  report: SnpReport,
  { endorsement, kind, root }: SnpChain,
  options: SnpVerifyOptions,
  checks: Checks,
): void {
  const reported = readTcb(report.reportedTcb, root.line)
  checks.require('snp.endorsement.tcb-mismatch', isSameTcb(endorsement.tcb, reported), {
    expected: tcbText(reported),
    received: tcbText(endorsement.tcb),
    where: 'report 0x180..0x188',
  })
  const masked = isZero(report.chipId)
  if (kind === 'vlek') {
    const right = endorsement.hardwareId === undefined && endorsement.cspId !== undefined
    checks.require('snp.endorsement.malformed', right, { where: 'VLEK: CSP id and no chip id' })
    return
  }
  const right = endorsement.hardwareId !== undefined && endorsement.cspId === undefined
  checks.require('snp.endorsement.malformed', right, { where: 'VCEK: chip id and no CSP id' })
  if (masked) {
    checks.add('snp.chip.masked', options.allowMaskedChipId ? 'warning' : 'fail', {
      where: 'report 0x1a0..0x1e0',
    })
    return
  }
  const { hardwareId } = endorsement
  const same =
    hardwareId !== undefined &&
    (hardwareId.length === 8) === (root.line === 'Turin') &&
    isChip(hardwareId, report.chipId)
  checks.require('snp.endorsement.chip-id-mismatch', same, {
    expected: toHex(report.chipId),
    received: hardwareId && toHex(hardwareId),
    where: 'report 0x1a0..0x1e0',
  })
}

/** Turin uses the first 8 bytes of the field only. */
function isChip(hardwareId: Uint8Array, chipId: Uint8Array): boolean {
  const { length } = hardwareId
  return equalBytes(hardwareId, chipId.subarray(0, length)) && isZero(chipId.subarray(length))
}

function checkDates({ ark, intermediate, leaf }: SnpChain, now: Date, checks: Checks): void {
  for (const { notBefore, notAfter, subject } of [ark, intermediate, leaf]) {
    const where = commonName(subject)
    // Times are written out only where they say why: this is on the path of every appraisal.
    if (notBefore.getTime() <= now.getTime())
      checks.add('snp.endorsement.not-yet-valid', 'pass', { where })
    else
      checks.add('snp.endorsement.not-yet-valid', 'fail', {
        expected: `from ${notBefore.toISOString()}`,
        received: now.toISOString(),
        where,
      })
    if (now.getTime() <= notAfter.getTime())
      checks.add('snp.endorsement.expired', 'pass', { where })
    else
      checks.add('snp.endorsement.expired', 'undecided', {
        expected: `until ${notAfter.toISOString()}`,
        received: now.toISOString(),
        where,
      })
  }
}

async function checkSignature(
  bytes: Uint8Array,
  report: SnpReport,
  { leafKey }: SnpChain,
  checks: Checks,
): Promise<boolean> {
  const signature = signatureToP1363(report.signature)
  const where = 'report 0x2a0..0x330'
  checks.require('snp.signature.malformed', signature !== undefined, { where })
  if (signature === undefined) return false
  const good = await runtimeCrypto.verify(leafKey, bytes.subarray(0, REPORT_SIGNED_SIZE), signature)
  return checks.require('snp.signature.invalid', good, { where: 'report 0x0..0x2a0' })
}
