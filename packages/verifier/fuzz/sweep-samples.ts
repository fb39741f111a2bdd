/** What is swept bit by bit: the recorded samples of every format that verify, with the bytes in them that a signature covers. */
import { runtimeCrypto } from '#crypto'
import { appraiseAzSnp } from '../src/azure/appraise-snp.ts'
import { appraiseAzTdx } from '../src/azure/appraise-tdx.ts'
import type { AzSnpEvidence, AzTdxEvidence } from '../src/azure/evidence.ts'
import { parseAzSnpEvidence, parseAzTdxEvidence } from '../src/azure/evidence-json.ts'
import { parseHclReport } from '../src/azure/hcl-report.ts'
import { concatBytes } from '../src/bytes/concat.ts'
import { fromHex, toHex } from '../src/bytes/hex.ts'
import { fromUtf8 } from '../src/bytes/text.ts'
import { appraiseCca } from '../src/cca/appraise.ts'
import { parseCollateralJson } from '../src/dcap/collateral-json.ts'
import { prepareDcapEndorsements } from '../src/dcap/endorsements.ts'
import type { DcapEndorsements } from '../src/dcap/endorsements.ts'
import { parseQuote } from '../src/dcap/quote.ts'
import { recogniseQuote } from '../src/dcap/recognise.ts'
import { toDer } from '../src/formats/pem.ts'
import { appraiseNitro } from '../src/nitro/appraise.ts'
import { appraiseNvidia } from '../src/nvidia/appraise.ts'
import { recogniseNvidiaEvidence } from '../src/nvidia/recognise.ts'
import { EndorsementCache } from '../src/result/endorsement-cache.ts'
import { appraiseSe } from '../src/se/appraise.ts'
import { appraiseSgx } from '../src/sgx/appraise.ts'
import { appraiseSnp } from '../src/snp/appraise.ts'
import { REPORT_SIGNED_SIZE, REPORT_SIZE } from '../src/snp/report.ts'
import { appraiseTdx } from '../src/tdx/appraise.ts'
import { ANY_CCA, ANY_ENCLAVE, ANY_NITRO, ANY_SNP, ANY_TD } from '../src/testing/any-expectation.ts'
import { vector } from '../src/testing/vectors.ts'
import { appraiseTpm } from '../src/tpm/appraise.ts'
import { ANY_PCRS } from '../src/tpm/policy.ts'
import { recogniseTpmEvidence } from '../src/tpm/recognise.ts'

export interface SweptSample {
  readonly name: string
  /** Changed in place, and changed back. */
  readonly bytes: Uint8Array
  /** What is swept of them. */
  readonly start: number
  readonly end: number
  readonly status: (bytes: Uint8Array) => Promise<string>
}

const NOW = new Date('2026-06-01')
const ACCEPTED = {
  acceptTcbStatuses: [
    'OutOfDate',
    'OutOfDateConfigurationNeeded',
    'ConfigurationNeeded',
    'SWHardeningNeeded',
    'ConfigurationAndSWHardeningNeeded',
  ],
} as const
/** In an HCL report: the hardware's report, and the runtime data that it vouches for. */
const HCL_REPORT = 32
const HCL_RUNTIME = 1236

export async function sweptSamples(): Promise<readonly SweptSample[]> {
  return [
    ...snpSamples(),
    ...(await quoteSamples()),
    ...nitroSamples(),
    ccaSample(),
    ...nvidiaSamples(),
    ...tpmSamples(),
    ...azureSnpSamples(),
    ...(await azureTdxSamples()),
    ...(await seSamples()),
  ]
}

function whole(name: string, bytes: Uint8Array, status: SweptSample['status']): SweptSample {
  return { name, bytes, start: 0, end: bytes.length, status }
}

function snpSamples(): readonly SweptSample[] {
  return (
    [
      ['snp/milan-v2-azure', 'vcek.der', '2026-06-01'],
      ['snp/milan-v2-debug', 'vcek.der', '2026-06-01'],
      ['snp/milan-v3-vlek', 'vlek.der', '2025-06-01'],
      ['snp/genoa-v5', 'vcek.der', '2026-06-01'],
    ] as const
  ).map(([folder, leaf, now]) => {
    const options = {
      expect: ANY_SNP,
      policy: { vmpl: 'any', allowDebugGuest: true },
      now: new Date(now),
      endorsements: { certificates: [vector(`${folder}/${leaf}`)] },
      cache: new EndorsementCache(),
    } as const
    const name = `${folder}/report.bin`
    const status = async (bytes: Uint8Array) => (await appraiseSnp(bytes, options)).status
    return { name, bytes: vector(name), start: 0, end: REPORT_SIZE, status }
  })
}

/** The document of another enclave is of its own time. */
function nitroSamples(): readonly SweptSample[] {
  const options = {
    expect: ANY_NITRO,
    now: NOW,
    cache: new EndorsementCache(),
    policy: { allowDebugEnclave: true, judgeAtDocumentTime: true },
  }
  return ['nitro/production/document.bin', 'nitro/debug/document.bin'].map((name) =>
    whole(name, vector(name), async (bytes) => (await appraiseNitro(bytes, options)).status),
  )
}

export function ccaSample(): SweptSample {
  const endorsements = { platformKeys: [{ publicKey: vector('cca/tf-rmm/cca_platform.pub') }] }
  const options = { expect: ANY_CCA, now: NOW, endorsements }
  const name = 'cca/tf-rmm/cca_token.cbor'
  return whole(name, vector(name), async (bytes) => (await appraiseCca(bytes, options)).status)
}

export function nvidiaSamples(): readonly SweptSample[] {
  return (
    [
      ['nvidia/gpu-h100-550.90.07/report.bin', 'nvidia/gpu-h100-550.90.07/chain.pem'],
      ['nvidia/gpu-h100-sample/report.txt', 'nvidia/gpu-h100-sample/chain.pem'],
      ['nvidia/switch-ls10/report.txt', 'nvidia/switch-ls10/chain.pem'],
      ['nvidia/gpu-h100-590.12/evidence.json'],
      ['nvidia/gpu-h100-590.12/evidence-2.json'],
      ['nvidia/switch-ls10/evidence.json'],
    ] as const
  ).flatMap(([name, chain]) => {
    const { devices, ...others } = recogniseNvidiaEvidence(vector(name))
    const given = chain === undefined ? {} : { endorsements: { certificates: [vector(chain)] } }
    const cache = new EndorsementCache()
    const options = { expect: { nonce: 'any' }, now: NOW, cache, ...given } as const
    return devices.map((device, index) =>
      whole(`${name}, device ${index}`, device.report.slice(), async (report) => {
        const changed = devices.with(index, { ...device, report })
        return (await appraiseNvidia({ ...others, devices: changed }, options)).status
      }),
    )
  })
}

/** Messages of the quotes: their banks of PCRs are hashed into them, and judged with them. */
function tpmSamples(): readonly SweptSample[] {
  const expect = { ...ANY_PCRS, reportData: 'any', ak: 'any' } as const
  return ['tpm/attestations/gce-cos-85-nonce9009.pb', 'tpm/tpm_evidence.json'].flatMap((name) => {
    const evidence = recogniseTpmEvidence(vector(name))
    return evidence.quotes.map((quote, index) => {
      const hash = quote.banks[0]?.hash
      const pcrBank = hash === 'sm3' || hash === undefined ? 'sha256' : hash
      return whole(`${name}, quote ${index}`, quote.message.slice(), async (message) => {
        const quotes = evidence.quotes.with(index, { ...quote, message })
        const options = { expect, now: NOW, policy: { pcrBank, allowSha1: true } }
        return (await appraiseTpm({ ...evidence, quotes }, options)).status
      })
    })
  })
}

export function azureSnpSamples(): readonly SweptSample[] {
  const options = {
    expect: { ...ANY_PCRS, ...ANY_SNP },
    now: NOW,
    cache: new EndorsementCache(),
  }
  return ['snp-genoa/evidence-v0', 'snp-milan-v2/evidence-v1', 'snp-milan-v3/evidence-v0'].flatMap(
    (file) => {
      const evidence = parseAzSnpEvidence(vector(`azure/${file}.json`))
      return azureSamples(file, evidence, REPORT_SIGNED_SIZE, async (changed) => {
        return (await appraiseAzSnp(changed, options)).status
      })
    },
  )
}

export async function azureTdxSamples(): Promise<readonly SweptSample[]> {
  const endorsements = await prepareDcapEndorsements(of00806f())
  const now = new Date('2025-07-20')
  const options = {
    expect: { ...ANY_PCRS, ...ANY_TD },
    now,
    endorsements,
    policy: ACCEPTED,
    cache: new EndorsementCache(),
  }
  const statusOf = async (evidence: AzTdxEvidence) =>
    (await appraiseAzTdx(evidence, options)).status
  const file = 'tdx-00806f/evidence-v1'
  const evidence = parseAzTdxEvidence(vector(`azure/${file}.json`))
  const tdQuote = evidence.tdQuote.slice()
  const { signed } = parseQuote(tdQuote)
  const quote = whole(`azure/${file}, TD quote`, tdQuote, (changed) =>
    statusOf({ ...evidence, tdQuote: changed }),
  )
  return [{ ...quote, end: signed.length }, ...azureSamples(file, evidence, 0, statusOf)]
}

/** @param signedReport - bytes of the hardware's report in the HCL report that are signed there; 0 when a quote stands for it */
function azureSamples<Evidence extends AzSnpEvidence | AzTdxEvidence>(
  file: string,
  evidence: Evidence,
  signedReport: number,
  statusOf: (evidence: Evidence) => Promise<string>,
): readonly SweptSample[] {
  const name = `azure/${file}`
  const { quote } = evidence
  const hclReport = evidence.hclReport.slice()
  const runtime = parseHclReport(hclReport).runtimeData.length
  const hcl = (part: string, start: number, length: number): SweptSample => ({
    name: `${name}, ${part}`,
    bytes: hclReport,
    start,
    end: start + length,
    status: (changed) => statusOf({ ...evidence, hclReport: changed }),
  })
  return [
    ...(signedReport === 0 ? [] : [hcl('hardware report', HCL_REPORT, signedReport)]),
    hcl('runtime data', HCL_RUNTIME, runtime),
    whole(`${name}, vTPM quote`, quote.message.slice(), (message) =>
      statusOf({ ...evidence, quote: { ...quote, message } }),
    ),
  ]
}

interface RecordedMeasurement {
  readonly name: string
  readonly hmacKey: string
  readonly imageHeaderTags: Readonly<Record<'pld' | 'ald' | 'tld' | 'tag', string>>
  readonly cuid: string
  readonly userData: string | null
  readonly nonce: string | null
  readonly additionalData: string | null
  readonly expectedMeasurement: string
}

/** Every part that the measurement covers. */
async function seSamples(): Promise<readonly SweptSample[]> {
  const file = (name: string) => vector(`se/hkd-certs/${name}`)
  const [root = new Uint8Array()] = toDer([file('root_ca.crt')])
  const endorsements = {
    certificates: ['host', 'ibm', 'inter_ca', 'root_ca'].map((name) => file(`${name}.crt`)),
    revocationLists: ['inter_ca', 'root_ca'].map((name) => file(`${name}.crl`)),
  }
  const trustedRoots = [toHex(await runtimeCrypto.digest('SHA-256', root))]
  const recorded = JSON.parse(
    fromUtf8('sample', 'text', vector('se/attestation-hmac-vectors.json')),
  ) as readonly RecordedMeasurement[]
  return recorded.flatMap((one) => {
    const { pld, ald, tld, tag } = one.imageHeaderTags
    const evidence = {
      measurement: fromHex(one.expectedMeasurement),
      imageHeaderTags: concatBytes(...[pld, ald, tld, tag].map(fromHex)),
      cuid: fromHex(one.cuid),
      userData: fromHex(one.userData ?? ''),
      additionalData: fromHex(one.additionalData ?? ''),
    }
    const options = {
      expect: { imageHeaderTags: 'any', userData: 'any' },
      now: NOW,
      measurementKey: fromHex(one.hmacKey),
      ...(one.nonce !== null && { requestNonce: fromHex(one.nonce) }),
      endorsements,
      policy: { trustedRoots },
    } as const
    return (Object.keys(evidence) as (keyof typeof evidence)[]).map((field) =>
      whole(`se/${one.name}, ${field}`, evidence[field], async (bytes) => {
        return (await appraiseSe({ ...evidence, [field]: bytes }, options)).status
      }),
    )
  })
}

function of00806f(): DcapEndorsements {
  const july = (file: string) => vector(`tdx/v4-00806f/2025-07/${file}`)
  return {
    certificates: [vector('tdx/certs/tcb_signing.der'), vector('tdx/certs/platform_ca.der')],
    revocationLists: [july('pck_platform_crl.der'), july('root_ca_crl.der')],
    tcbInfos: [july('tcb_info.json')],
    qeIdentities: [july('td_qe_identity.json')],
  }
}

async function quoteSamples(): Promise<readonly SweptSample[]> {
  const ofB0c0 = parseCollateralJson(vector('tdx/v4-b0c0/collateral.json'))
  const of00a067 = parseCollateralJson(vector('sgx/v3-00a067/collateral.json'))
  const of90c0 = {
    certificates: [vector('tdx/collateral-2026-03/qe_identity_signing_chain.pem')],
    revocationLists: ['pck_crl_platform', 'root_ca_crl'].map((name) =>
      vector(`tdx/collateral-2026-03/${name}.der`),
    ),
    tcbInfos: [vector('tdx/collateral-2026-03/tcb_info_90c06f000000.json')],
    qeIdentities: [vector('tdx/collateral-2026-03/td_qe_identity.json')],
  }
  return Promise.all([
    quoteSample('tdx/v4-b0c0/quote.bin', ofB0c0, '2025-07-01'),
    quoteSample('tdx/v4-00806f/quote.bin', of00806f(), '2025-07-20'),
    quoteSample('tdx/v4-gcp/quote.bin', of00806f(), '2025-07-20'),
    quoteSample('tdx/v5-td15/quote.bin', of90c0, '2026-03-20'),
    quoteSample('sgx/v3-00a067/quote.bin', of00a067, '2025-07-01'),
    quoteSample('sgx/v3-00a067/quote-2.bin', of00a067, '2025-07-01'),
  ])
}

async function quoteSample(
  name: string,
  collateral: DcapEndorsements,
  time: string,
): Promise<SweptSample> {
  const bytes = recogniseQuote(vector(name)).slice()
  const { body, version, signed } = parseQuote(bytes)
  const now = new Date(time)
  const endorsements = await prepareDcapEndorsements(collateral)
  const policy = { ...ACCEPTED, ...(body.kind === 'sgx' && { allowDebugEnclave: true }) }
  const options = { now, endorsements, policy, cache: new EndorsementCache() }
  const status = async (changed: Uint8Array) =>
    body.kind === 'tdx'
      ? (await appraiseTdx(changed, { ...options, expect: ANY_TD })).status
      : (await appraiseSgx(changed, { ...options, expect: ANY_ENCLAVE })).status
  // Length, signature and attestation key follow what is signed; then come QE report and its signature.
  const wrapped = version === 3 ? 0 : 6
  return { name, bytes, start: 0, end: signed.length + 4 + 128 + wrapped + 384 + 64, status }
}
