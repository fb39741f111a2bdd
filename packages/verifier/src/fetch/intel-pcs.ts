/**
 * Intel's Provisioning Certification Service (PCS API v4), and caches of it (PCCS) that answer the same paths on an address of their own: TCB info,
 * identities of Quoting Enclaves, revocation lists, and PCK certificates for quotes that only name theirs.
 */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { INTEL_NAME, INTEL_ROOT, rootCertificate } from '../dcap/anchors.ts'
import type { IntelRoot } from '../dcap/anchors.ts'
import { chainToRoot, isEcdsaSha256 } from '../dcap/chain.ts'
import { prepareDcapEndorsements } from '../dcap/endorsements.ts'
import type { DcapEndorsements, PreparedDcapEndorsements } from '../dcap/endorsements.ts'
import { readPckIdentity } from '../dcap/pck.ts'
import { parsePpidCertification } from '../dcap/ppid-certification.ts'
import { parseQuote } from '../dcap/quote.ts'
import type { Quote } from '../dcap/quote.ts'
import { parsePem, toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'
import { commonName } from '../formats/x509-name.ts'
import { isSignedBy } from '../formats/x509-verify.ts'
import type { EndorsementClient, ReadAnswer } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'

export const PCS_ADDRESS = 'https://api.trustedservices.intel.com'
export const INTEL_ROOT_LIST_ADDRESS =
  'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der'

export interface PcsOptions {
  readonly client: EndorsementClient
  /** Of a PCCS or a mirror, without a slash at the end. Absent: Intel's. */
  readonly address?: string | undefined
  /** Of the root's revocation list. Absent: Intel's, or the PCCS's where `address` is given. */
  readonly rootListAddress?: string | undefined
  /** Intel gives PCK certificates only to subscribers; all else is free. */
  readonly subscriptionKey?: string | undefined
  /** `early` is the next TCB recovery before it becomes the `standard` one, which is the default. */
  readonly update?: 'standard' | 'early' | undefined
  /** Absent: Intel's; another is for tests. */
  readonly root?: IntelRoot | undefined
  readonly signal?: AbortSignal | undefined
}

export type DcapTee = 'tdx' | 'sgx'
export type PckCa = 'platform' | 'processor'

/** A statement as it was served, with the chain that signed it. */
export interface FetchedStatement {
  readonly statement: Uint8Array
  /** DER, signer first. */
  readonly chain: readonly Uint8Array[]
}

/** What kind of platform a quote comes from. Unverified: it only picks addresses. */
export interface QuotedPlatform {
  readonly tee: DcapTee
  /** 6 bytes, lowercase hex. */
  readonly fmspc: string
  /** 2 bytes, lowercase hex. */
  readonly pceId: string
  readonly ca: PckCa
}

const DAY_MS = 86_400_000
const LIMITS = {
  statement: 1 << 20,
  list: 4 << 20,
  certificate: 64 << 10,
  header: 32 << 10,
} as const

const TCB_CHAIN = ['tcb-info-issuer-chain', 'sgx-tcb-info-issuer-chain'] as const
const IDENTITY_CHAIN = ['sgx-enclave-identity-issuer-chain'] as const
const LIST_CHAIN = ['sgx-pck-crl-issuer-chain'] as const
const PCK_CHAIN = ['sgx-pck-certificate-issuer-chain'] as const

/** The TCB info of a kind of platform, signed and in date. @param fmspc - 6 bytes in hex. @throws EndorsementFetchError */
export async function fetchTcbInfo(
  tee: DcapTee,
  fmspc: string,
  options: PcsOptions,
): Promise<FetchedStatement> {
  return fetchStatement(
    `${tee}/certification/v4/tcb?fmspc=${fmspc}`,
    TCB_CHAIN,
    options,
    (prepared) => {
      const found = prepared.tcbInfos[0]
      const info = found?.statement
      if (info !== undefined && (info.id !== tee.toUpperCase() || info.fmspc !== fmspc))
        throw mismatch(`TCB info of ${info.id} ${info.fmspc}`)
      return found
    },
  )
}

/** The identity of the Quoting Enclave of that TEE, signed and in date. @throws EndorsementFetchError */
export async function fetchQeIdentity(
  tee: DcapTee,
  options: PcsOptions,
): Promise<FetchedStatement> {
  return fetchStatement(
    `${tee}/certification/v4/qe/identity`,
    IDENTITY_CHAIN,
    options,
    (prepared) => {
      const found = prepared.qeIdentities[0]
      const wanted = tee === 'tdx' ? 'TD_QE' : 'QE'
      if (found !== undefined && found.statement.id !== wanted)
        throw mismatch(`the identity of ${found.statement.id}`)
      return found
    },
  )
}

/** The revocation list of one of the two PCK issuers in DER, with that issuer and the root. @throws EndorsementFetchError */
export async function fetchPckRevocationList(
  ca: PckCa,
  options: PcsOptions,
): Promise<FetchedStatement> {
  const { client, address = PCS_ADDRESS, root = INTEL_ROOT, signal } = options
  const { value } = await client.get({
    url: `${address}/sgx/certification/v4/pckcrl?ca=${ca}&encoding=der`,
    maxBytes: LIMITS.list,
    keep: LIST_CHAIN,
    freshMs: DAY_MS,
    signal,
    read: async (body, headers) => {
      const chain = readChainHeader(headers, LIST_CHAIN)
      const [issuer] = chain.map(parseCertificate)
      const name =
        root.prefix + (ca === 'platform' ? INTEL_NAME.platformCa : INTEL_NAME.processorCa)
      if (issuer === undefined || commonName(issuer.subject) !== name)
        throw mismatch(`a list of ${issuer && commonName(issuer.subject)}`)
      const { found } = await chainToRoot(issuer, certificatesOf(chain), root)
      if (!found) throw unsigned('issuer of the PCK revocation list')
      const list = derOrHex(body)
      return { value: { statement: list, chain }, expires: await checkList(list, issuer) }
    },
  })
  return value
}

/** The root's revocation list in DER. @param chain - DER, holds the root; Intel's is built in. @throws EndorsementFetchError */
export async function fetchRootRevocationList(
  options: PcsOptions,
  chain: readonly Uint8Array[] = [],
): Promise<Uint8Array> {
  const { client, address, root = INTEL_ROOT, signal } = options
  const url =
    options.rootListAddress ??
    (address === undefined ? INTEL_ROOT_LIST_ADDRESS : `${address}/sgx/certification/v4/rootcacrl`)
  const { value } = await client.get({
    url,
    maxBytes: LIMITS.list,
    freshMs: DAY_MS,
    signal,
    read: async (body) => {
      const list = derOrHex(body)
      const issuer = certificatesOf(chain).find(
        ({ subject }) => commonName(subject) === root.prefix + INTEL_NAME.root,
      )
      // Self-signed, so its chain to the pinned root is itself.
      const pinned = issuer !== undefined && (await chainToRoot(issuer, [issuer], root)).found
      if (!pinned) throw unsigned('root of the revocation list')
      return { value: list, expires: await checkList(list, issuer) }
    },
  })
  return value
}

/** PCK certificate with its issuers, DER, for a quote that only names it. @throws EndorsementFetchError */
export async function fetchPckCertificate(
  quote: Quote,
  options: PcsOptions,
): Promise<readonly Uint8Array[]> {
  const { client, address = PCS_ADDRESS, subscriptionKey, signal } = options
  const { encrypted, ppid, cpuSvn, pceSvn, pceId } = parsePpidCertification(quote.certification)
  if (!encrypted)
    throw new EndorsementFetchError('fetch.subject-unknown', {
      problem: 'Intel takes encrypted PPIDs only',
    })
  const pceSvnBytes = Uint8Array.of(pceSvn & 0xff, pceSvn >> 8)
  const query = `encrypted_ppid=${toHex(ppid)}&cpusvn=${toHex(cpuSvn)}&pcesvn=${toHex(pceSvnBytes)}&pceid=${toHex(pceId)}`
  const { value } = await client.get({
    url: `${address}/sgx/certification/v4/pckcert?${query}`,
    ...(subscriptionKey !== undefined && {
      headers: { 'ocp-apim-subscription-key': subscriptionKey },
    }),
    maxBytes: LIMITS.certificate,
    keep: PCK_CHAIN,
    freshMs: 30 * DAY_MS,
    signal,
    read: (body, headers): ReadAnswer<readonly Uint8Array[]> => {
      const [leaf] = toDer([body])
      if (leaf === undefined) throw new FormatError('PCK certificate', 'certificate', 0, 'none')
      const certificate = parseCertificate(leaf)
      if (readPckIdentity(certificate).pceId !== toHex(pceId)) throw mismatch('another PCE')
      return {
        value: [leaf, ...readChainHeader(headers, PCK_CHAIN)],
        expires: certificate.notAfter,
      }
    },
  })
  return value
}

/**
 * Everything that the appraisal of a quote needs.
 *
 * @param quote - raw
 * @throws EndorsementFetchError; `fetch.subject-unknown` when the quote cannot be read
 */
export async function fetchDcapEndorsements(
  quote: Uint8Array,
  options: PcsOptions,
): Promise<Required<DcapEndorsements> & { readonly platform: QuotedPlatform }> {
  const parsed = readQuote(quote)
  const own = ownCertificates(parsed)
  const pck = own.length > 0 ? own : await fetchPckCertificate(parsed, options)
  const platform = platformOf(parsed, pck, options.root ?? INTEL_ROOT)
  const collateral = await fetchPlatformCollateral(platform, options)
  return {
    ...collateral,
    certificates: distinctDer([...pck, ...collateral.certificates]),
    platform,
  }
}

/** The collateral of one kind of platform, whatever quote it may come with. @throws EndorsementFetchError */
export async function fetchPlatformCollateral(
  { tee, fmspc, pceId, ca }: QuotedPlatform,
  options: PcsOptions,
): Promise<Required<DcapEndorsements>> {
  const tcbInfo = await fetchTcbInfo(tee, fmspc, options)
  const prepared = await prepareDcapEndorsements({ tcbInfos: [tcbInfo.statement] }, options.root)
  if (prepared.tcbInfos.some(({ statement }) => statement.pceId !== pceId))
    throw mismatch('TCB info of another PCE')
  const identity = await fetchQeIdentity(tee, options)
  const pckList = await fetchPckRevocationList(ca, options)
  const root = rootCertificate(options.root ?? INTEL_ROOT).raw
  const chains = [...tcbInfo.chain, ...identity.chain, ...pckList.chain, root]
  const rootList = await fetchRootRevocationList(options, chains)
  return {
    certificates: distinctDer(chains),
    revocationLists: [rootList, pckList.statement],
    tcbInfos: [tcbInfo.statement],
    qeIdentities: [identity.statement],
  }
}

async function fetchStatement(
  path: string,
  chainHeaders: readonly string[],
  options: PcsOptions,
  pick: (
    prepared: PreparedDcapEndorsements,
  ) => { readonly statement: { readonly nextUpdate: Date }; readonly chain: unknown } | undefined,
): Promise<FetchedStatement> {
  const { client, address = PCS_ADDRESS, root = INTEL_ROOT, update, signal } = options
  const separator = path.includes('?') ? '&' : '?'
  const query = update === undefined ? '' : `${separator}update=${update}`
  const { value } = await client.get({
    url: `${address}/${path}${query}`,
    maxBytes: LIMITS.statement,
    keep: chainHeaders,
    freshMs: DAY_MS,
    signal,
    read: async (body, headers) => {
      const chain = readChainHeader(headers, chainHeaders)
      const member = path.includes('identity') ? 'qeIdentities' : 'tcbInfos'
      const prepared = await prepareDcapEndorsements(
        { certificates: chain, [member]: [body] },
        root,
      )
      const [problem] = prepared.malformed
      if (problem !== undefined) throw new FormatError('Intel collateral', 'statement', 0, problem)
      const found = pick(prepared)
      if (found?.chain === undefined) throw unsigned(path.split('?')[0] ?? path)
      return { value: { statement: body, chain }, expires: found.statement.nextUpdate }
    },
  })
  return value
}

function readQuote(bytes: Uint8Array): Quote {
  try {
    return parseQuote(bytes)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new EndorsementFetchError('fetch.subject-unknown', { problem: cause.message, cause })
  }
}

/** The PCK certificate and issuers that the quote itself holds, DER; none for the types that only name one. */
function ownCertificates({ certification: { type, data } }: Quote): readonly Uint8Array[] {
  if (type !== 4 && type !== 5) return []
  try {
    return parsePem(data).map(({ der }) => der)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new EndorsementFetchError('fetch.subject-unknown', { problem: cause.message, cause })
  }
}

function platformOf(quote: Quote, pck: readonly Uint8Array[], root: IntelRoot): QuotedPlatform {
  try {
    const [leaf] = pck
    if (leaf === undefined) throw new FormatError('PCK chain', 'certificates', 0, 'there are none')
    const certificate = parseCertificate(leaf)
    const { fmspc, pceId } = readPckIdentity(certificate)
    const issuer = commonName(certificate.issuer)
    const ca = issuer === root.prefix + INTEL_NAME.processorCa ? 'processor' : 'platform'
    return { tee: quote.body.kind, fmspc, pceId, ca }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new EndorsementFetchError('fetch.subject-unknown', { problem: cause.message, cause })
  }
}

/** @returns when the list ends. @throws EndorsementFetchError, FormatError */
async function checkList(der: Uint8Array, issuer: Certificate): Promise<Date> {
  const list = parseRevocationList(der)
  if (!equalBytes(list.issuer.raw, issuer.subject.raw))
    throw mismatch(`a list of ${commonName(list.issuer)}`)
  if (!isEcdsaSha256(list) || !(await isSignedBy(list, issuer)))
    throw unsigned(`list of ${commonName(list.issuer)}`)
  return list.nextUpdate
}

/** Percent-encoded PEM, signer first. @throws FormatError */
function readChainHeader(
  headers: Readonly<Record<string, string>>,
  names: readonly string[],
): readonly Uint8Array[] {
  const name = names.find((candidate) => Object.hasOwn(headers, candidate))
  const text = name === undefined ? '' : (headers[name] ?? '')
  if (text === '' || text.length > LIMITS.header)
    throw new FormatError('issuer chain', names[0] ?? 'header', 0, 'is missing or too long')
  let decoded: string
  try {
    decoded = decodeURIComponent(text)
  } catch {
    throw new FormatError('issuer chain', 'header', 0, 'not percent-encoded')
  }
  const chain = parsePem(decoded).map(({ der }) => der)
  if (chain.length === 0) throw new FormatError('issuer chain', 'header', 0, 'holds no certificate')
  return chain
}

/** A PCCS sends lists in hex where Intel sends DER. */
function derOrHex(body: Uint8Array): Uint8Array {
  if (body[0] === 0x30 && !isHexDigit(body[1])) return body
  return fromHex(fromUtf8('revocation list', 'text', body).trim())
}

function isHexDigit(byte: number | undefined): boolean {
  return byte !== undefined && /[0-9a-fA-F]/.test(String.fromCharCode(byte))
}

function certificatesOf(ders: readonly Uint8Array[]): Certificate[] {
  return ders.map(parseCertificate)
}

function distinctDer(ders: readonly Uint8Array[]): Uint8Array[] {
  const kept: Uint8Array[] = []
  for (const der of ders) if (!kept.some((other) => equalBytes(other, der))) kept.push(der)
  return kept
}

function mismatch(problem: string): EndorsementFetchError {
  return new EndorsementFetchError('fetch.content-mismatch', { problem: problem.slice(0, 200) })
}

function unsigned(problem: string): EndorsementFetchError {
  return new EndorsementFetchError('fetch.content-unsigned', { problem: problem.slice(0, 200) })
}
