/** What the devices of NVIDIA Evidence need: manifests of what they run, and an answer for each certificate that can be revoked. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import { nvidiaDeviceClaims } from '../nvidia/claims.ts'
import type { NvidiaDevice, NvidiaEvidence } from '../nvidia/evidence.ts'
import { parseReferenceManifest } from '../nvidia/manifest.ts'
import { parseNvidiaReport } from '../nvidia/report.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import { fetchOcspResponse } from './nvidia-ocsp.ts'
import { fetchManifest, manifestIds } from './nvidia-rim.ts'
import type { RimOptions } from './nvidia-rim.ts'

export interface NvidiaFetchOptions extends RimOptions {
  /** Absent: NVIDIA's. */
  readonly ocspAddress?: string | undefined
}

export interface FetchedNvidia {
  /** Ids of the manifests. */
  readonly ids: readonly string[]
  readonly manifests: readonly Uint8Array[]
  readonly ocspResponses: readonly Uint8Array[]
}

/** @throws EndorsementFetchError; `fetch.subject-unknown` when a report or chain cannot be read */
export async function fetchNvidiaEndorsements(
  evidence: NvidiaEvidence,
  options: NvidiaFetchOptions,
): Promise<FetchedNvidia> {
  const devices = evidence.devices.map(readDevice)
  const ids = [...new Set(devices.flatMap((device) => device.ids))]
  const manifests: Uint8Array[] = []
  for (const id of ids) manifests.push(await fetchManifest(id, options))
  const signers = manifests.flatMap((manifest) =>
    linksOf(parseReferenceManifest(manifest).signature?.certificates ?? [], 0),
  )
  const links = distinct([...devices.flatMap((device) => device.links), ...signers])
  const asking = { client: options.client, address: options.ocspAddress, signal: options.signal }
  const ocspResponses: Uint8Array[] = []
  for (const { certificate, issuer } of links)
    ocspResponses.push(await fetchOcspResponse(certificate, issuer, asking))
  return { ids, manifests, ocspResponses }
}

interface Link {
  readonly certificate: Certificate
  readonly issuer: Certificate
}

function readDevice(device: NvidiaDevice) {
  try {
    const chain = orderedChain(toDer(device.certificates ?? []).map(parseCertificate))
    const [leaf] = chain
    const chip = leaf && commonName(leaf.subject)?.split(' ')[0]
    if (chip === undefined) throw new FormatError('NVIDIA evidence', 'certificates', 0, 'no chain')
    const claims = nvidiaDeviceClaims(device, parseNvidiaReport(device.report))
    // Nobody answers for the leaf: a device makes it anew at each boot.
    return { ids: manifestIds(claims, chip), links: linksOf(chain, 1) }
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new EndorsementFetchError('fetch.subject-unknown', { problem: cause.message, cause })
  }
}

/** Leaf first, as far as names lead; whether signatures hold is judged by the appraisal. */
function orderedChain(certificates: readonly Certificate[]): Certificate[] {
  const issues = (issuer: Certificate, issued: Certificate) =>
    equalBytes(issuer.subject.raw, issued.issuer.raw)
  const leaf = certificates.find(
    (one) => !certificates.some((other) => other !== one && issues(one, other)),
  )
  const chain: Certificate[] = []
  for (let at = leaf; at !== undefined && chain.length < certificates.length;) {
    chain.push(at)
    const below: Certificate = at
    at = issues(below, below) ? undefined : certificates.find((one) => issues(one, below))
  }
  return chain
}

function linksOf(chain: readonly Certificate[], from: number): Link[] {
  return chain.slice(from, -1).map((certificate, index) => ({
    certificate,
    issuer: chain[from + index + 1] as Certificate,
  }))
}

function distinct(links: readonly Link[]): Link[] {
  const kept: Link[] = []
  for (const link of links)
    if (!kept.some(({ certificate }) => equalBytes(certificate.raw, link.certificate.raw)))
      kept.push(link)
  return kept
}
