/** Endorsements from files and folders in any mix of bundles, DER, PEM, revocation lists and JSON, sorted by content. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { DerReader } from '@cloister/verifier/formats/der-reader'
import { recogniseBinary } from '@cloister/verifier/formats/binary-text'
import { parsePem } from '@cloister/verifier/formats/pem'
import { parseOcspResponse } from '@cloister/verifier/formats/ocsp'
import { readKeyKind } from '@cloister/verifier/formats/x509-algorithm'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import { parseRevocationList } from '@cloister/verifier/formats/x509-crl'
import { parseCollateralJson } from '@cloister/verifier/dcap/collateral-json'
import {
  bundleEndorsements,
  isBundle,
  parseBundle,
  type EndorsementBundle,
} from '@cloister/verifier/endorsements/bundle'
import { FormatError } from '@cloister/verifier/bytes/format-error'

export interface SortedEndorsements {
  readonly certificates: Uint8Array[]
  readonly revocationLists: Uint8Array[]
  readonly tcbInfos: Uint8Array[]
  readonly qeIdentities: Uint8Array[]
  /** NVIDIA's reference manifests, XML. */
  readonly manifests: Uint8Array[]
  readonly ocspResponses: Uint8Array[]
  /** SubjectPublicKeyInfo in DER: platform keys of TEEs that know no certificates. */
  readonly publicKeys: Uint8Array[]
  /** Files in which nothing was recognised. */
  readonly unknown: string[]
}

/** First byte of everything in DER that is read here. */
const DER_SEQUENCE = 0x30
const LIMITS = { files: 1000, fileBytes: 16 << 20 } as const

/** @throws CloisterError `cli.file-unreadable`, `endorsements.malformed` for a bundle that is none */
export async function sortEndorsements(paths: readonly string[]): Promise<SortedEndorsements> {
  const sorted: SortedEndorsements = {
    certificates: [],
    revocationLists: [],
    tcbInfos: [],
    qeIdentities: [],
    manifests: [],
    ocspResponses: [],
    publicKeys: [],
    unknown: [],
  }
  const found = (await Promise.all(paths.map(filesBelow))).flat()
  const files = found.flatMap(({ path, isRead }) => (isRead ? [path] : []))
  sorted.unknown.push(...found.flatMap(({ path, isRead }) => (isRead ? [] : [path])))
  if (files.length > LIMITS.files)
    throw new CloisterError('cli.file-unreadable', {
      why: `these are more than ${LIMITS.files} files`,
    })
  for (const file of files) {
    const bytes = await readEndorsement(file)
    if (isBundle(bytes)) addBundle(readBundle(file, bytes), sorted)
    else if (!sortFile(bytes, sorted)) sorted.unknown.push(file)
  }
  return sorted
}

const BUNDLED = [
  'certificates',
  'revocationLists',
  'tcbInfos',
  'qeIdentities',
  'manifests',
  'ocspResponses',
] as const

/** @param bundle - its items are sorted among those of other files */
export function addBundle(bundle: EndorsementBundle, sorted: SortedEndorsements): void {
  const found = bundleEndorsements(bundle)
  for (const kind of BUNDLED) sorted[kind].push(...found[kind])
}

async function readEndorsement(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', { where: file, cause })
  }
}

function readBundle(file: string, bytes: Uint8Array): EndorsementBundle {
  try {
    return parseBundle(bytes)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('endorsements.malformed', { where: file, why: cause.message, cause })
  }
}

/** What AMD's evidence takes: lists of other makers beside its own say nothing about it, not even that something is amiss. */
export function endorsementsOfAmd(sorted: SortedEndorsements): SortedEndorsements {
  const isOfAmd = (der: Uint8Array) =>
    parseRevocationList(der).issuer.commonName?.startsWith('ARK-') === true
  return { ...sorted, revocationLists: sorted.revocationLists.filter(isOfAmd) }
}

interface Found {
  readonly path: string
  /** False for a folder in the folder, and for a file that is too large: they do not count, and that is told. */
  readonly isRead: boolean
}

/** Links are followed, for the files of a mounted secret are links; what else a folder holds is passed over. */
async function filesBelow(path: string): Promise<readonly Found[]> {
  try {
    const found = await stat(path)
    if (found.isFile() && found.size <= LIMITS.fileBytes) return [{ path, isRead: true }]
    if (!found.isDirectory()) throw new Error('it is no regular file of a sensible size')
    const names = await readdir(path)
    return (await Promise.all(names.map(async (name) => await entryOf(path, name)))).flat()
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', { where: path, cause })
  }
}

async function entryOf(folder: string, name: string): Promise<readonly Found[]> {
  const path = join(folder, name)
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() === true) return [{ path, isRead: found.size <= LIMITS.fileBytes }]
  const isShown = found?.isDirectory() === true && !name.startsWith('.')
  return isShown ? [{ path: `${path}/`, isRead: false }] : []
}

function sortFile(bytes: Buffer, sorted: SortedEndorsements): boolean {
  const text = bytes.toString('latin1').trimStart()
  if (text.startsWith('-----BEGIN')) return sortPem(text, sorted)
  if (text.includes('<SoftwareIdentity ')) return sorted.manifests.push(bytes) > 0
  if (text.startsWith('{')) return sortJson(bytes, text, sorted)
  if (text.startsWith('[')) return sortWrapped(text, sorted)
  return sortDer(
    attempt(() => recogniseBinary('endorsement', bytes, [DER_SEQUENCE])) ?? bytes,
    sorted,
  )
}

function sortPem(text: string, sorted: SortedEndorsements): boolean {
  const blocks = attempt(() => parsePem(text)) ?? []
  return blocks.map(({ der }) => sortDer(der, sorted)).some(Boolean)
}

function sortDer(der: Uint8Array, sorted: SortedEndorsements): boolean {
  if (attempt(() => parseCertificate(der)) !== undefined) sorted.certificates.push(der)
  else if (attempt(() => parseRevocationList(der)) !== undefined) sorted.revocationLists.push(der)
  else if (attempt(() => parseOcspResponse(der)) !== undefined) sorted.ocspResponses.push(der)
  else if (attempt(() => readKeyKind(new DerReader('public key', der))) !== undefined)
    sorted.publicKeys.push(der)
  else return false
  return true
}

/** TCB info and QE identity stay the bytes that Intel signed. */
function sortJson(bytes: Buffer, text: string, sorted: SortedEndorsements): boolean {
  if (/^\{\s*"tcbInfo"/.test(text)) sorted.tcbInfos.push(bytes)
  else if (/^\{\s*"enclaveIdentity"/.test(text)) sorted.qeIdentities.push(bytes)
  else {
    const collateral = attempt(() => parseCollateralJson(bytes))
    if (collateral === undefined) return sortWrapped(text, sorted)
    for (const kind of ['certificates', 'revocationLists', 'tcbInfos', 'qeIdentities'] as const)
      sorted[kind].push(...(collateral[kind] ?? []))
  }
  return true
}

/** JSON whose text members are PEM or base64 DER, such as a certificate service's answer, or a list of such texts. */
function sortWrapped(text: string, sorted: SortedEndorsements): boolean {
  const value = attempt(() => JSON.parse(text) as Record<string, unknown>)
  if (value === undefined) return false
  return Object.values(value)
    .filter((member) => typeof member === 'string')
    .map((member) =>
      member.includes('-----BEGIN')
        ? sortPem(member, sorted)
        : sortDer(Buffer.from(member, 'base64'), sorted),
    )
    .some(Boolean)
}

/** What a parser makes of it; undefined when it is something else. */
function attempt<Value>(parse: () => Value): Value | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}
