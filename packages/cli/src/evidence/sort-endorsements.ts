/** Endorsements from files and folders in any mix of bundles, DER, PEM, revocation lists and JSON, sorted by content. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { DerReader } from '@cloister/verifier/formats/der-reader'
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
  const files = (await Promise.all(paths.map(filesBelow))).flat()
  if (files.length > LIMITS.files)
    throw new CloisterError('cli.file-unreadable', {
      why: `these are more than ${LIMITS.files} files`,
    })
  for (const file of files) {
    const bytes = await readFile(file)
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

async function filesBelow(path: string): Promise<string[]> {
  try {
    const found = await stat(path)
    if (found.isFile() && found.size <= LIMITS.fileBytes) return [path]
    if (!found.isDirectory()) throw new Error('it is no regular file of a sensible size')
    const entries = await readdir(path, { withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map((entry) => join(path, entry.name))
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', { where: path, cause })
  }
}

function sortFile(bytes: Buffer, sorted: SortedEndorsements): boolean {
  const text = bytes.toString('latin1').trimStart()
  if (text.startsWith('-----BEGIN')) return sortPem(text, sorted)
  if (text.includes('<SoftwareIdentity ')) return sorted.manifests.push(bytes) > 0
  if (text.startsWith('{')) return sortJson(bytes, text, sorted)
  const hex = /^[0-9a-fA-F\s]+$/.test(text) ? Buffer.from(text.replaceAll(/\s/g, ''), 'hex') : bytes
  return sortDer(hex, sorted)
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

/** JSON whose text members are PEM or base64 DER, such as a certificate service's answer. */
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
