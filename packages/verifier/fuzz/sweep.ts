/** Every single-bit flip of every recorded sample whose signature covers a fixed range, or all of it: none may be accepted. */
import { appraiseCca } from '../src/cca/appraise.ts'
import { appraiseNitro } from '../src/nitro/appraise.ts'
import { appraiseNvidia } from '../src/nvidia/appraise.ts'
import { appraiseSgx } from '../src/sgx/appraise.ts'
import { appraiseTdx } from '../src/tdx/appraise.ts'
import { parseCollateralJson } from '../src/dcap/collateral-json.ts'
import { prepareDcapEndorsements } from '../src/dcap/endorsements.ts'
import { parseQuote } from '../src/dcap/quote.ts'
import { EndorsementCache } from '../src/result/endorsement-cache.ts'
import { appraiseSnp } from '../src/snp/appraise.ts'
import { REPORT_SIZE } from '../src/snp/report.ts'
import { ANY_CCA, ANY_ENCLAVE, ANY_NITRO, ANY_SNP, ANY_TD } from '../src/testing/any-expectation.ts'
import { WITH_VECTORS, vector } from '../src/testing/vectors.ts'

interface Sample {
  readonly path: string
  /** Bytes from the start that are swept. */
  readonly length: number
  status(bytes: Uint8Array): Promise<string>
}

const ACCEPTED = { acceptTcbStatuses: ['OutOfDate', 'ConfigurationAndSWHardeningNeeded'] } as const

/** @param say - takes one line for each sample. @throws Error naming the sample and the bit that was accepted */
export async function sweepSamples(say: (line: string) => void): Promise<void> {
  if (WITH_VECTORS.skip !== false) {
    say(`sweep: ${WITH_VECTORS.skip}`)
    return
  }
  for (const sample of [...snpSamples(), ...(await quoteSamples()), ...tokenSamples()]) {
    const bytes = vector(sample.path)
    const whole = await sample.status(bytes)
    if (whole !== 'affirming' && whole !== 'warning')
      throw new Error(`${sample.path} itself is ${whole}`)
    for (let bit = 0; bit < sample.length * 8; bit++) {
      const offset = bit >> 3
      bytes[offset] = (bytes[offset] as number) ^ (1 << (bit & 7))
      const status = await sample.status(bytes)
      if (status !== 'contraindicated' && status !== 'none')
        throw new Error(`${sample.path} with bit ${bit} changed is ${status}`)
      bytes[offset] = bytes[offset] ^ (1 << (bit & 7))
    }
    say(`${sample.path}: each of ${sample.length * 8} bits counts`)
  }
}

function snpSamples(): readonly Sample[] {
  return (
    [
      ['snp/milan-v2-azure/report.bin', 'snp/milan-v2-azure/vcek.der', '2026-06-01'],
      ['snp/milan-v3-vlek/report.bin', 'snp/milan-v3-vlek/vlek.der', '2025-06-01'],
      ['snp/genoa-v5/report.bin', 'snp/genoa-v5/vcek.der', '2026-06-01'],
    ] as const
  ).map(([path, leaf, now]) => {
    const options = {
      expect: ANY_SNP,
      policy: { vmpl: 'any' },
      now: new Date(now),
      endorsements: { certificates: [vector(leaf)] },
      cache: new EndorsementCache(),
    } as const
    const status = async (bytes: Uint8Array) => (await appraiseSnp(bytes, options)).status
    return { path, length: REPORT_SIZE, status }
  })
}

/** Nitro, CCA and NVIDIA sign everything in their samples but the padding of reports. */
function tokenSamples(): readonly Sample[] {
  const cache = new EndorsementCache()
  const now = new Date('2026-06-01')
  const nitro = { expect: ANY_NITRO, now: new Date('2022-10-13T10:00:00Z'), cache }
  const endorsements = { platformKeys: [{ publicKey: vector('cca/tf-rmm/cca_platform.pub') }] }
  const certificates = [vector('nvidia/gpu-h100-550.90.07/chain.pem')]
  const sample = (path: string, status: Sample['status']) => ({
    path,
    length: vector(path).length,
    status,
  })
  return [
    sample(
      'nitro/production/document.bin',
      async (bytes) => (await appraiseNitro(bytes, nitro)).status,
    ),
    sample(
      'cca/tf-rmm/cca_token.cbor',
      async (bytes) => (await appraiseCca(bytes, { expect: ANY_CCA, now, endorsements })).status,
    ),
    sample('nvidia/gpu-h100-550.90.07/report.bin', async (bytes) => {
      const options = { expect: { nonce: 'any' }, now, endorsements: { certificates } } as const
      return (await appraiseNvidia(bytes, options)).status
    }),
  ]
}

async function quoteSamples(): Promise<readonly Sample[]> {
  const july = (file: string) => vector(`tdx/v4-00806f/2025-07/${file}`)
  const of00806f = {
    certificates: [vector('tdx/certs/tcb_signing.der'), vector('tdx/certs/platform_ca.der')],
    revocationLists: [july('pck_platform_crl.der'), july('root_ca_crl.der')],
    tcbInfos: [july('tcb_info.json')],
    qeIdentities: [july('td_qe_identity.json')],
  }
  return [
    await quoteSample(
      'tdx/v4-b0c0',
      parseCollateralJson(vector('tdx/v4-b0c0/collateral.json')),
      '2025-07-01',
    ),
    await quoteSample('tdx/v4-00806f', of00806f, '2025-07-20'),
    await quoteSample('tdx/v4-gcp', of00806f, '2025-07-20'),
    await quoteSample(
      'sgx/v3-00a067',
      parseCollateralJson(vector('sgx/v3-00a067/collateral.json')),
      '2025-07-01',
    ),
  ]
}

async function quoteSample(
  folder: string,
  collateral: Parameters<typeof prepareDcapEndorsements>[0],
  time: string,
): Promise<Sample> {
  const path = `${folder}/quote.bin`
  const quote = parseQuote(vector(path))
  const now = new Date(time)
  const endorsements = await prepareDcapEndorsements(collateral)
  const options = { now, endorsements, policy: ACCEPTED, cache: new EndorsementCache() }
  const status = async (bytes: Uint8Array) =>
    quote.body.kind === 'tdx'
      ? (await appraiseTdx(bytes, { ...options, expect: ANY_TD })).status
      : (await appraiseSgx(bytes, { ...options, expect: ANY_ENCLAVE })).status
  // Length, signature and attestation key follow what is signed; then come QE report and its signature.
  const wrapped = quote.version === 3 ? 0 : 6
  return { path, length: quote.signed.length + 4 + 128 + wrapped + 384 + 64, status }
}
