/**
 * Intel's collateral: certificates, revocation lists, TCB info and QE identities. {@link prepareDcapEndorsements} parses it and
 * checks every signature once; what depends on time or on the quote is judged at each appraisal.
 */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'
import type { RevocationList } from '../formats/x509-crl.ts'
import { commonName } from '../formats/x509-name.ts'
import { INTEL_NAME, INTEL_ROOT, rootCertificate } from './anchors.ts'
import type { IntelRoot } from './anchors.ts'
import { chainToRoot } from './chain.ts'
import { parseQeIdentity } from './qe-identity.ts'
import type { QeIdentity } from './qe-identity.ts'
import { isStatementSignedBy } from './signed-json.ts'
import type { SignedJson } from './signed-json.ts'
import { parseTcbInfo } from './tcb-info.ts'
import type { TcbInfo } from './tcb-info.ts'

/** Raw collateral, in any order; files of other platforms do no harm. */
export interface DcapEndorsements {
  /** DER or PEM: TCB signing chain, PCK issuers, and PCK certificates for quotes that do not bring theirs. */
  readonly certificates?: readonly Uint8Array[]
  /** DER or PEM. */
  readonly revocationLists?: readonly Uint8Array[]
  /** JSON as Intel serves it: `{"tcbInfo": …, "signature": …}`. */
  readonly tcbInfos?: readonly Uint8Array[]
  /** JSON as Intel serves it: `{"enclaveIdentity": …, "signature": …}`. */
  readonly qeIdentities?: readonly Uint8Array[]
}

/** A statement with the chain that signed it, undefined when nobody trusted did. */
export interface Endorsed<Statement> {
  readonly statement: Statement
  readonly chain: readonly Certificate[] | undefined
}

/** What the bytes say; nobody has vouched for any of it. */
export interface ParsedDcapEndorsements {
  /** With the pinned root. */
  readonly certificates: readonly Certificate[]
  readonly revocationLists: readonly RevocationList[]
  readonly tcbInfos: readonly TcbInfo[]
  readonly qeIdentities: readonly QeIdentity[]
  /** What could not be parsed: each one is a failed check. */
  readonly malformed: readonly string[]
}

const MADE_HERE = Symbol('prepared')

/** Made by {@link prepareDcapEndorsements} alone; keep it and pass it again to save its signature checks. */
export interface PreparedDcapEndorsements {
  readonly [MADE_HERE]: IntelRoot
  readonly certificates: readonly Certificate[]
  readonly revocationLists: readonly RevocationList[]
  readonly tcbInfos: readonly Endorsed<TcbInfo>[]
  readonly qeIdentities: readonly Endorsed<QeIdentity>[]
  /** Those that signed one of the statements, each once; leaf first, root last. */
  readonly signingChains: readonly (readonly Certificate[])[]
  /** Whether a certificate that signs statements was given, whoever issued it. */
  readonly hasSigner: boolean
  /** What could not be parsed: each one is a failed check. */
  readonly malformed: readonly string[]
}

const MAX_FILES = 64

export function isPrepared(
  endorsements: DcapEndorsements | ParsedDcapEndorsements | PreparedDcapEndorsements,
  root: IntelRoot,
): endorsements is PreparedDcapEndorsements {
  return MADE_HERE in endorsements && endorsements[MADE_HERE] === root
}

/** Never throws on hostile bytes: what is malformed stands in the result and fails the appraisal. */
export async function prepareDcapEndorsements(
  endorsements: DcapEndorsements,
  root: IntelRoot = INTEL_ROOT,
): Promise<PreparedDcapEndorsements> {
  return endorseCollateral(parseDcapEndorsements(endorsements, root), root)
}

/** The first half of {@link prepareDcapEndorsements}: no signature is looked at. */
export function parseDcapEndorsements(
  endorsements: DcapEndorsements,
  root: IntelRoot,
): ParsedDcapEndorsements {
  const malformed: string[] = []
  const read = <Value>(
    inputs: readonly Uint8Array[] | undefined,
    parse: (input: Uint8Array) => Value,
  ) =>
    (inputs ?? []).slice(0, MAX_FILES).flatMap((input) => {
      try {
        return parse(input)
      } catch (error) {
        if (!(error instanceof FormatError)) throw error
        malformed.push(error.message)
        return []
      }
    })
  const pinned = rootCertificate(root)
  const given = read(endorsements.certificates, (input) =>
    toDer([input]).map((der) => (equalBytes(der, pinned.raw) ? pinned : parseCertificate(der))),
  )
  const lists = read(endorsements.revocationLists, (input) =>
    toDer([input]).map(parseRevocationList),
  )
  return {
    certificates: [...given.flat(), pinned],
    revocationLists: lists.flat(),
    tcbInfos: read(endorsements.tcbInfos, parseTcbInfo),
    qeIdentities: read(endorsements.qeIdentities, parseQeIdentity),
    malformed,
  }
}

/** The second half: who signed the statements. */
export async function endorseCollateral(
  { certificates, revocationLists, tcbInfos, qeIdentities, malformed }: ParsedDcapEndorsements,
  root: IntelRoot,
): Promise<PreparedDcapEndorsements> {
  const named = tcbSigners(certificates, root)
  const signers = await signingChains(named, certificates, root)
  const endorsed = {
    tcbInfos: await endorse(tcbInfos, signers),
    qeIdentities: await endorse(qeIdentities, signers),
  }
  const used = [...endorsed.tcbInfos, ...endorsed.qeIdentities].flatMap(({ chain }) =>
    chain === undefined ? [] : [chain],
  )
  return {
    [MADE_HERE]: root,
    certificates,
    revocationLists,
    ...endorsed,
    signingChains: [...new Set(used)],
    hasSigner: named.length > 0,
    malformed,
  }
}

/** Of those signers that reach the root. */
async function signingChains(
  signers: readonly Certificate[],
  certificates: readonly Certificate[],
  root: IntelRoot,
): Promise<readonly (readonly Certificate[])[]> {
  const chains: (readonly Certificate[])[] = []
  for (const leaf of signers) {
    const result = await chainToRoot(leaf, certificates, root)
    if (result.found) chains.push(result.chain)
  }
  return chains
}

/** Certificates that are named as Intel's TCB signing ones, whoever issued them. */
export function tcbSigners(
  certificates: readonly Certificate[],
  root: IntelRoot,
): readonly Certificate[] {
  const name = root.prefix + INTEL_NAME.tcbSigning
  return distinct(certificates.filter(({ subject }) => commonName(subject) === name))
}

async function endorse<Statement extends { readonly signed: SignedJson }>(
  statements: readonly Statement[],
  signers: readonly (readonly Certificate[])[],
): Promise<Endorsed<Statement>[]> {
  const endorsed: Endorsed<Statement>[] = []
  for (const statement of statements)
    endorsed.push({ statement, chain: await signerOf(statement.signed, signers) })
  return endorsed
}

async function signerOf(
  signed: SignedJson,
  chains: readonly (readonly Certificate[])[],
): Promise<readonly Certificate[] | undefined> {
  for (const chain of chains) {
    const [leaf] = chain
    if (leaf === undefined || chain.length !== 2) continue
    if (await isStatementSignedBy(signed, leaf)) return chain
  }
  return undefined
}

export function distinct(certificates: readonly Certificate[]): Certificate[] {
  const kept: Certificate[] = []
  for (const certificate of certificates)
    if (!kept.some((other) => isSame(other, certificate))) kept.push(certificate)
  return kept
}

function isSame(a: Certificate, b: Certificate): boolean {
  return a === b || equalBytes(a.raw, b.raw)
}
