/** Whole appraisals of TDX, Secure Execution, Azure and EAR tokens, and of Intel's collateral. */
import { generateKeyPairSync } from 'node:crypto'
import { fromBase64Url, toBase64, toBase64Url } from '../src/bytes/base64.ts'
import { equalBytes } from '../src/bytes/equal.ts'
import { fromUtf8, toUtf8 } from '../src/bytes/text.ts'
import { appraiseAzSnp } from '../src/azure/appraise-snp.ts'
import { appraiseAzTdx } from '../src/azure/appraise-tdx.ts'
import { prepareDcapEndorsements } from '../src/dcap/endorsements.ts'
import { TRUSTEE_PROFILE } from '../src/ear/claims.ts'
import { makeEarToken, readUnverifiedEarToken, verifyEarToken } from '../src/ear/token.ts'
import { basicConstraintsExtension } from '../src/formats/x509-extensions.ts'
import { issueCertificate } from '../src/formats/x509-issue.ts'
import { NAME_OID } from '../src/formats/x509-name.ts'
import { keySigner, spkiOf } from '../src/node/key-signer.ts'
import { EndorsementCache } from '../src/result/endorsement-cache.ts'
import { appraiseSe } from '../src/se/appraise.ts'
import { ANY_SNP, ANY_TD } from '../src/testing/any-expectation.ts'
import { FakeIbm, fakeSeEvidence } from '../src/testing/fake-ibm.ts'
import { FAKE_TD, FakeIntel } from '../src/testing/fake-intel.ts'
import { WITH_VECTORS, vector } from '../src/testing/vectors.ts'
import { ANY_PCRS } from '../src/tpm/policy.ts'
import { recorded } from './corpus.ts'
import { appraisal, parser } from './target.ts'
import type { Target } from './target.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const IN_JULY = new Date('2025-07-20T00:00:00Z')
const DAY = 86_400_000

export async function appraisalTargets(): Promise<readonly Target[]> {
  return [
    ...(await tdxTargets()),
    await seTarget(),
    ...(await earTargets()),
    ...(await azureTargets()),
  ]
}

async function tdxTargets(): Promise<readonly Target[]> {
  const intel = new FakeIntel()
  const quotes = (
    [FAKE_TD, { ...FAKE_TD, teeTcbSvn2: FAKE_TD.teeTcbSvn, mrServiceTd: zeros(48) }] as const
  ).map((report, index) => intel.quote({ kind: 'tdx', report }, { version: 4 + index }))
  const window = [new Date(NOW.getTime() - DAY), new Date(NOW.getTime() + DAY)] as const
  const collateral = intel.endorsements('tdx', ...window)
  const prepared = await prepareDcapEndorsements(collateral, intel.root)
  const cache = new EndorsementCache()
  const [first = new Uint8Array()] = quotes
  const statements = [...collateral.tcbInfos, ...collateral.qeIdentities]
  return [
    appraisal('TDX appraisal', quotes, async (input) => {
      const options = { expect: ANY_TD, now: NOW, endorsements: prepared, cache }
      const { status } = await intel.appraiseTdx(input, options)
      const isSigned = (quote: Uint8Array) =>
        equalBytes(quote.subarray(0, SIGNED_TD), input.subarray(0, SIGNED_TD))
      if (status === 'affirming' && !quotes.some(isSigned))
        throw new Error('a changed quote was accepted')
    }),
    appraisal(
      'Intel collateral',
      [...statements, ...collateral.certificates, ...collateral.revocationLists],
      async (input) => {
        const endorsements = {
          ...collateral,
          tcbInfos: [input],
          qeIdentities: [input],
          certificates: [input, ...collateral.certificates],
          revocationLists: [input, ...collateral.revocationLists],
        }
        const { status } = await intel.appraiseTdx(first, {
          expect: ANY_TD,
          now: NOW,
          endorsements,
        })
        if (status === 'affirming') throw new Error('one statement was taken for all')
      },
    ),
  ]
}

/** Header and the body of TDX 1.0. */
const SIGNED_TD = 632

async function seTarget(): Promise<Target> {
  const ibm = new FakeIbm()
  const key = new Uint8Array(64).fill(0x41)
  const nonce = new Uint8Array(16).fill(0x42)
  const evidence = fakeSeEvidence(key, nonce)
  const options = {
    expect: { imageHeaderTags: 'any', userData: 'any' },
    now: NOW,
    measurementKey: key,
    requestNonce: nonce,
    endorsements: { certificates: ibm.certificates, revocationLists: ibm.lists() },
    policy: { trustedRoots: [ibm.fingerprint] },
  } as const
  const json = toUtf8(
    JSON.stringify({
      measurement: toBase64(evidence.measurement),
      additional_data: toBase64(evidence.additionalData),
      user_data: toBase64(evidence.userData),
      cuid: toBase64(evidence.cuid),
      image_hdr_tags: toBase64(evidence.imageHeaderTags),
    }),
  )
  const good = claimsText(await appraiseSe(json, options))
  return appraisal('SE appraisal', [json], async (input) =>
    refuseOtherClaims(await appraiseSe(input, options), [good]),
  )
}

async function earTargets(): Promise<readonly Target[]> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = keySigner(privateKey)
  const name = [{ oid: NAME_OID.commonName, value: 'FAKE token signer' }]
  const certificate = issueCertificate(
    {
      serial: 1,
      issuer: name,
      subject: name,
      notBefore: new Date('2026-01-01'),
      notAfter: new Date('2027-01-01'),
      spki: spkiOf(privateKey),
      extensions: [basicConstraintsExtension(false)],
    },
    key,
  )
  const iat = NOW.getTime() / 1000
  const claims = {
    eat_profile: TRUSTEE_PROFILE,
    iat,
    exp: iat + 300,
    'ear.verifier-id': { developer: 'FAKE', build: '1' },
    submods: { cpu0: { 'ear.status': 'affirming' as const } },
  }
  const signer = {
    spki: spkiOf(privateKey),
    certificates: [certificate],
    sign: (data: Uint8Array) => key.sign(data),
  }
  const token = toUtf8(await makeEarToken(claims, signer))
  const [, payload = ''] = fromUtf8('token', 'text', token).split('.')
  const json = fromBase64Url(payload)
  return [
    parser(
      'EAR token',
      [token],
      (input) => {
        // Claims are changed as JSON too: in base64 a changed length shifts all that follows.
        const isJson = input[0] === json[0]
        const text = isJson ? `e30.${toBase64Url(input)}.AAAA` : LENIENT.decode(input)
        readUnverifiedEarToken(text)
      },
      [
        json,
        ...recorded(
          'ear/ear-claims.json',
          'ear/ear-claims-extension-ok.json',
          'ear/ear-claims-tv-ok.json',
        ),
      ],
    ),
    appraisal('EAR token verification', [token], async (input) => {
      const text = LENIENT.decode(input)
      const { valid } = await verifyEarToken(text, { trustedCertificates: [certificate], now: NOW })
      if (valid && !equalBytes(input, token)) throw new Error('a changed token was accepted')
    }),
  ]
}

const LENIENT = new TextDecoder()

/** Recorded samples, for nobody else signs them; none where they are not there. */
async function azureTargets(): Promise<readonly Target[]> {
  if (WITH_VECTORS.skip !== false) return []
  const cache = new EndorsementCache()
  const snp = ['azure/snp-milan-v3/evidence-v1.json', 'azure/snp-genoa/evidence-v0.json'].map(
    vector,
  )
  const snpOptions = { expect: { ...ANY_PCRS, ...ANY_SNP }, now: NOW, cache }
  const snpClaims = await Promise.all(
    snp.map(async (json) => claimsText(await appraiseAzSnp(json, snpOptions))),
  )
  const tdx = [vector('azure/tdx-00806f/evidence-v1.json')]
  const file = (name: string) => vector(`tdx/v4-00806f/2025-07/${name}`)
  const endorsements = await prepareDcapEndorsements({
    certificates: [vector('tdx/certs/tcb_signing.der'), vector('tdx/certs/platform_ca.der')],
    revocationLists: [file('pck_platform_crl.der'), file('root_ca_crl.der')],
    tcbInfos: [file('tcb_info.json')],
    qeIdentities: [file('td_qe_identity.json')],
  })
  const tdxOptions = {
    expect: { ...ANY_PCRS, ...ANY_TD },
    now: IN_JULY,
    cache,
    endorsements,
    policy: { acceptTcbStatuses: ['OutOfDate'] as const },
  }
  const tdxClaims = await Promise.all(
    tdx.map(async (json) => claimsText(await appraiseAzTdx(json, tdxOptions))),
  )
  return [
    appraisal('Azure SNP appraisal', snp, async (input) =>
      refuseOtherClaims(await appraiseAzSnp(input, snpOptions), snpClaims),
    ),
    appraisal('Azure TDX appraisal', tdx, async (input) =>
      refuseOtherClaims(await appraiseAzTdx(input, tdxOptions), tdxClaims),
    ),
  ]
}

interface Result {
  readonly status: string
  readonly claims?: object
}

function claimsText({ status, claims }: Result): string {
  if (claims === undefined) throw new Error(`a sample of the corpus is ${status}`)
  return JSON.stringify(claims)
}

/** JSON may change around what is signed; what comes out as trusted may not. */
function refuseOtherClaims({ claims }: Result, good: readonly string[]): void {
  if (claims !== undefined && !good.includes(JSON.stringify(claims)))
    throw new Error('other claims were accepted')
}

const zeros = (length: number) => new Uint8Array(length)
