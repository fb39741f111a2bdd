/** One call that fetches what the Evidence of a TEE needs, as a bundle that can be kept. */
import { parseAzSnpEvidence, parseAzTdxEvidence } from '../azure/evidence-json.ts'
import { parseHclReport } from '../azure/hcl-report.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { recogniseQuote } from '../dcap/recognise.ts'
import { makeBundle } from '../endorsements/bundle.ts'
import type { BundleSubject, BundleTee, EndorsementBundle } from '../endorsements/bundle.ts'
import { endorsementItems, itemsOf } from '../endorsements/bundle-item.ts'
import type { BundleItem } from '../endorsements/bundle-item.ts'
import type { NvidiaEvidence } from '../nvidia/evidence.ts'
import { recogniseNvidiaEvidence } from '../nvidia/recognise.ts'
import type { SnpEvidence } from '../snp/evidence.ts'
import type { ProductLine } from '../snp/product.ts'
import { recogniseSnpEvidence } from '../snp/recognise.ts'
import { parseSnpReport } from '../snp/report.ts'
import { fetchSnpEndorsements } from './amd-kds.ts'
import type { EndorsementClient } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import { fetchDcapEndorsements } from './intel-pcs.ts'
import type { PcsOptions } from './intel-pcs.ts'
import { fetchNvidiaEndorsements } from './nvidia-device.ts'
import type { NvidiaFetchOptions } from './nvidia-device.ts'

export interface FetchBundleOptions {
  readonly client: EndorsementClient
  readonly kds?: {
    readonly address?: string | undefined
    /** For reports of version 2, which do not name it. */
    readonly line?: ProductLine | undefined
    readonly roots?: readonly Uint8Array[] | undefined
  }
  readonly pcs?: Omit<PcsOptions, 'client' | 'signal'>
  readonly nvidia?: Omit<NvidiaFetchOptions, 'client' | 'signal'>
  readonly signal?: AbortSignal | undefined
}

/**
 * @param evidence - in any form that the TEE's appraisal recognises
 * @throws EndorsementFetchError; `fetch.subject-unknown` when the Evidence cannot be read
 */
export async function fetchBundle(
  tee: BundleTee,
  evidence: Uint8Array,
  options: FetchBundleOptions,
): Promise<EndorsementBundle> {
  const { subject, items } = await gather(tee, evidence, options)
  return makeBundle({ tee, subject, items, fetchedAt: options.client.now })
}

interface Gathered {
  readonly subject: BundleSubject
  readonly items: readonly BundleItem[]
}

async function gather(
  tee: BundleTee,
  evidence: Uint8Array,
  options: FetchBundleOptions,
): Promise<Gathered> {
  switch (tee) {
    case 'snp':
      return gatherSnp(
        read(() => recogniseSnpEvidence(evidence)),
        options,
      )
    case 'az-snp':
      return gatherSnp(
        read(() => azureSnp(evidence)),
        options,
      )
    case 'tdx':
    case 'sgx':
      return gatherDcap(
        read(() => recogniseQuote(evidence)),
        options,
      )
    case 'az-tdx':
      return gatherDcap(
        read(() => parseAzTdxEvidence(evidence).tdQuote),
        options,
      )
    case 'nvidia':
      return gatherNvidia(
        read(() => recogniseNvidiaEvidence(evidence)),
        options,
      )
    default:
      return tee satisfies never
  }
}

function azureSnp(bytes: Uint8Array): SnpEvidence {
  const { hclReport, certificates } = parseAzSnpEvidence(bytes)
  return { report: parseHclReport(hclReport).hardware, certificates }
}

async function gatherSnp(
  evidence: SnpEvidence,
  { client, kds = {}, signal }: FetchBundleOptions,
): Promise<Gathered> {
  const { line, ...found } = await fetchSnpEndorsements(evidence, { ...kds, client, signal })
  const { chipId, reportedTcb } = parseSnpReport(evidence.report)
  return {
    subject: { line, chipId: toHex(chipId), tcb: toHex(reportedTcb) },
    items: [
      ...itemsOf('certificate', found.certificates),
      ...itemsOf('revocation-list', found.revocationLists),
    ],
  }
}

async function gatherDcap(
  quote: Uint8Array,
  { client, pcs = {}, signal }: FetchBundleOptions,
): Promise<Gathered> {
  const found = await fetchDcapEndorsements(quote, { ...pcs, client, signal })
  const { fmspc, pceId, ca } = found.platform
  return {
    subject: { fmspc, pceId, ca, update: pcs.update ?? 'standard' },
    items: endorsementItems(found),
  }
}

async function gatherNvidia(
  evidence: NvidiaEvidence,
  { client, nvidia = {}, signal }: FetchBundleOptions,
): Promise<Gathered> {
  const found = await fetchNvidiaEndorsements(evidence, { ...nvidia, client, signal })
  return {
    subject: { manifests: found.ids.join(' ').slice(0, 1024) },
    items: [
      ...itemsOf('manifest', found.manifests),
      ...itemsOf('ocsp-response', found.ocspResponses),
    ],
  }
}

function read<Value>(parse: () => Value): Value {
  try {
    return parse()
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    const problem = cause.message.slice(0, 200)
    throw new EndorsementFetchError('fetch.subject-unknown', { problem, cause })
  }
}
