/** The TEEs whose evidence the command line judges: how each is recognised, what must be expected, how it is appraised. */
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { Appraisal } from '@cloister/verifier/result/appraisal'
import { endorsementsOfAmd, type SortedEndorsements } from './sort-endorsements.ts'

export interface EvidenceRequest {
  readonly evidence: Uint8Array
  readonly endorsements: SortedEndorsements
  /** Of Intel's next TCB recovery; absent: not compared. */
  readonly early?: SortedEndorsements
  /** Field to bytes in hex, several of which one must match, or `any`. */
  readonly expect: Readonly<Record<string, 'any' | readonly string[]>>
  readonly policy: Readonly<Record<string, unknown>>
  /** TCB statuses accepted besides the current one. */
  readonly accept: readonly string[]
  readonly now: Date
}

export interface EvidenceTee {
  /** Fields that must be expected, `any` at least; then those that may be. */
  readonly demanded: readonly string[]
  readonly optional: readonly string[]
  /** Intel's collateral gives its platform a status, of which some may be accepted, and one that will come. */
  readonly hasTcbStatus?: true
  appraise(request: EvidenceRequest): Promise<Appraisal<unknown>>
}

/** Evidence in no known form is judged as the bytes it is: refused, with the check that says why. */
function orAsItIs<Recognised>(
  recognise: (bytes: Uint8Array) => Recognised,
  bytes: Uint8Array,
): Recognised | Uint8Array {
  try {
    return recognise(bytes)
  } catch (error) {
    if (error instanceof FormatError) return bytes
    throw error
  }
}

/** What the appraisals share whose platform Intel's collateral judges; the library checks names and values. */
function quoteOptions({ endorsements, early, expect, policy, accept, now }: EvidenceRequest) {
  const judged = { ...policy, ...(accept.length > 0 && { acceptTcbStatuses: accept }) }
  return {
    expect: expect as never,
    endorsements,
    policy: judged as never,
    now,
    ...(early !== undefined && { earlyEndorsements: early }),
  }
}

const PCRS = Array.from({ length: 24 }, (_, index) => `pcr${index}`)

export const EVIDENCE_TEES: Readonly<Record<string, EvidenceTee>> = {
  snp: {
    demanded: ['reportData', 'measurement', 'hostData'],
    optional: ['familyId', 'imageId', 'idKeyDigest', 'authorKeyDigest', 'reportId'],
    async appraise({ evidence, endorsements, expect, policy, now }) {
      const { appraiseSnp } = await import('@cloister/verifier/snp/appraise')
      const { recogniseSnpEvidence } = await import('@cloister/verifier/snp/recognise')
      return await appraiseSnp(orAsItIs(recogniseSnpEvidence, evidence), {
        expect: expect as never,
        endorsements: endorsementsOfAmd(endorsements),
        policy,
        now,
      })
    },
  },
  tdx: {
    demanded: ['reportData', 'mrTd', 'mrConfigId', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'],
    optional: ['mrOwner', 'mrOwnerConfig'],
    hasTcbStatus: true,
    async appraise(request) {
      const { appraiseTdx } = await import('@cloister/verifier/tdx/appraise')
      const { recogniseQuote } = await import('@cloister/verifier/dcap/recognise')
      return await appraiseTdx(orAsItIs(recogniseQuote, request.evidence), quoteOptions(request))
    },
  },
  sgx: {
    demanded: ['reportData', 'mrEnclave', 'mrSigner'],
    optional: ['configId', 'isvFamilyId', 'isvExtProdId'],
    hasTcbStatus: true,
    async appraise(request) {
      const { appraiseSgx } = await import('@cloister/verifier/sgx/appraise')
      const { recogniseQuote } = await import('@cloister/verifier/dcap/recognise')
      return await appraiseSgx(orAsItIs(recogniseQuote, request.evidence), quoteOptions(request))
    },
  },
  nitro: {
    demanded: ['pcr0', 'pcr1', 'pcr2', 'nonce', 'userData', 'publicKey'],
    optional: Array.from({ length: 29 }, (_, index) => `pcr${index + 3}`),
    async appraise({ evidence, expect, policy, now }) {
      const { appraiseNitro } = await import('@cloister/verifier/nitro/appraise')
      const { recogniseNitroDocument } = await import('@cloister/verifier/nitro/recognise')
      return await appraiseNitro(orAsItIs(recogniseNitroDocument, evidence), {
        expect: expect as never,
        policy,
        now,
      })
    },
  },
  cca: {
    demanded: [
      'challenge',
      'initialMeasurement',
      'personalizationValue',
      'rem0',
      'rem1',
      'rem2',
      'rem3',
    ],
    optional: ['implementationId', 'instanceId', 'platformConfig'],
    async appraise({ evidence, endorsements, expect, policy, now }) {
      const { appraiseCca } = await import('@cloister/verifier/cca/appraise')
      const { recogniseCcaToken } = await import('@cloister/verifier/cca/recognise')
      const platformKeys = endorsements.publicKeys.map((publicKey) => ({ publicKey }))
      return await appraiseCca(orAsItIs(recogniseCcaToken, evidence), {
        expect: expect as never,
        endorsements: { platformKeys },
        policy,
        now,
      })
    },
  },
  tpm: {
    demanded: ['reportData', 'ak', ...PCRS],
    optional: [],
    async appraise({ evidence, endorsements, expect, policy, now }) {
      const { appraiseTpm } = await import('@cloister/verifier/tpm/appraise')
      const { certificates } = endorsements
      return await appraiseTpm(evidence, {
        expect: expect as never,
        endorsements: { certificates },
        policy,
        now,
      })
    },
  },
  nvidia: {
    demanded: ['nonce'],
    optional: Array.from({ length: 255 }, (_, index) => `measurement${index + 1}`),
    async appraise({ evidence, endorsements, expect, policy, now }) {
      const { appraiseNvidia } = await import('@cloister/verifier/nvidia/appraise')
      const { recogniseNvidiaEvidence } = await import('@cloister/verifier/nvidia/recognise')
      const { EndorsementCache } = await import('@cloister/verifier/result/endorsement-cache')
      return await appraiseNvidia(orAsItIs(recogniseNvidiaEvidence, evidence), {
        expect: expect as never,
        endorsements,
        policy,
        now,
        // Devices that bring no certificates share those that were given.
        cache: new EndorsementCache(),
      })
    },
  },
  'az-snp': {
    demanded: ['reportData', 'measurement', 'hostData', ...PCRS],
    optional: ['userData', 'initData', 'idKeyDigest', 'familyId', 'imageId', 'reportId'],
    async appraise({ evidence, endorsements, expect, policy, now }) {
      const { appraiseAzSnp } = await import('@cloister/verifier/azure/appraise-snp')
      return await appraiseAzSnp(evidence, {
        expect: expect as never,
        endorsements: endorsementsOfAmd(endorsements),
        policy,
        now,
      })
    },
  },
  'az-tdx': {
    demanded: ['reportData', 'mrTd', 'mrConfigId', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3', ...PCRS],
    optional: ['userData', 'initData', 'mrOwner', 'mrOwnerConfig'],
    hasTcbStatus: true,
    async appraise(request) {
      const { appraiseAzTdx } = await import('@cloister/verifier/azure/appraise-tdx')
      return await appraiseAzTdx(request.evidence, quoteOptions(request))
    },
  },
  se: {
    demanded: ['imageHeaderTags', 'userData'],
    optional: ['cuid', 'imagePhkh', 'attestationPhkh'],
    async appraise({ evidence, endorsements, expect, policy, now }) {
      const { appraiseSe } = await import('@cloister/verifier/se/appraise')
      // What the verifier alone knows comes with the policy: nothing of it is in evidence or endorsements.
      const { measurementKey, requestNonce, ...others } = policy
      return await appraiseSe(evidence, {
        expect: expect as never,
        endorsements,
        policy: others,
        now,
        measurementKey: policyBytes('measurementKey', measurementKey),
        ...(requestNonce !== undefined && {
          requestNonce: policyBytes('requestNonce', requestNonce),
        }),
      })
    },
  },
}

/** @throws TypeError when the policy has no such member in hex */
function policyBytes(name: string, value: unknown): Uint8Array {
  if (typeof value === 'string' && /^(?:[0-9a-fA-F]{2})+$/.test(value))
    return new Uint8Array(Buffer.from(value, 'hex'))
  throw new TypeError(`policy.${name} is missing or no hex`)
}
