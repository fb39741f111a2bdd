/** The appraisal of AWS Nitro Enclaves attestation documents: parse, verify, compare. */
import { isZero } from '../bytes/reader.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Anchor, Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import { NITRO_ROOT } from './anchors.ts'
import type { NitroCheckCode } from './check-codes.ts'
import { nitroClaims } from './claims.ts'
import type { NitroClaims } from './claims.ts'
import type { NitroDocument } from './document.ts'
import { NITRO_POLICY_KEYS, PCR_NAMES } from './policy.ts'
import type { NitroExpect, NitroPolicy, PcrName } from './policy.ts'
import { readDocument, verifyNitroDocument } from './verify.ts'

export interface NitroAppraiseOptions {
  /** Required. */
  readonly expect: NitroExpect
  /** Instant at which certificates must be in date. */
  readonly now: Date
  /** Absent means the strict default. */
  readonly policy?: NitroPolicy
  readonly cache?: EndorsementCache
}

export type NitroAppraisal = Appraisal<NitroClaims, NitroCheckCode>

type FieldName = PcrName | 'nonce' | 'userData' | 'publicKey'

const PCR_BYTES = 48
const CHOSEN = { size: { upTo: 1024 }, demanded: true } as const

const FIELDS: readonly ExpectedField<FieldName, NitroCheckCode>[] = [
  { name: 'nonce', code: 'nitro.nonce.mismatch', ...CHOSEN },
  { name: 'userData', code: 'nitro.user-data.mismatch', ...CHOSEN },
  { name: 'publicKey', code: 'nitro.public-key.mismatch', ...CHOSEN },
  ...PCR_NAMES.map(
    (name, index) =>
      ({ name, code: 'nitro.pcr.mismatch', size: PCR_BYTES, demanded: index < 3 }) as const,
  ),
]

/**
 * Appraises one attestation document. Never throws on Evidence, whatever its bytes.
 *
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseNitro(
  evidence: Uint8Array,
  options: NitroAppraiseOptions,
): Promise<NitroAppraisal> {
  return appraiseNitroUnder(NITRO_ROOT, evidence, options)
}

/** {@link appraiseNitro} under another root: for the tests' fake AWS. */
export async function appraiseNitroUnder(
  root: string,
  evidence: Uint8Array,
  options: NitroAppraiseOptions,
): Promise<NitroAppraisal> {
  const { expect, now, policy = {}, cache } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  const expected = readExpectations<FieldName, NitroCheckCode>(FIELDS, expect)
  checkPolicy(policy, NITRO_POLICY_KEYS)
  const checks = new CheckList<NitroCheckCode>()
  const tee = 'nitro'
  const document = readDocument(evidence, checks)
  if (document === undefined) return concludeAppraisal<NitroClaims, NitroCheckCode>(checks, { tee })
  const claims = nitroClaims(document)
  const roots = [root, ...(policy.partitionRoots ?? []).map((text) => text.toLowerCase())]
  const archived = policy.judgeAtDocumentTime === true
  if (archived)
    checks.add('nitro.document.archived', 'warning', { received: document.time.toISOString() })
  const at = archived ? document.time : now
  const found = await verifyNitroDocument(document, { now: at, roots, cache }, checks)
  if (found === undefined) return concludeAppraisal(checks, { tee, claims })
  checkDebug(document, policy, checks)
  checkExpectations(checks, expected, (name) => receivedField(document, name))
  const anchor: Anchor =
    found === root
      ? { kind: 'hardware', line: 'AWS Nitro' }
      : { kind: 'configured', fingerprint: found }
  return concludeAppraisal(checks, { tee, anchor, claims })
}

const PCR_INDEXES: ReadonlyMap<FieldName, number> = new Map(
  PCR_NAMES.map((name, index) => [name, index]),
)

function receivedField(document: NitroDocument, name: FieldName): Uint8Array | undefined {
  if (name === 'nonce' || name === 'userData' || name === 'publicKey') return document[name]
  return document.pcrs.get(PCR_INDEXES.get(name) ?? -1)
}

/** In debug mode the hypervisor reports zeros for the three; an absent one says nothing of the enclave either. */
function checkDebug(
  { pcrs }: NitroDocument,
  policy: NitroPolicy,
  checks: CheckSink<NitroCheckCode>,
): void {
  const debug = [0, 1, 2].every((index) => isZero(pcrs.get(index) ?? new Uint8Array()))
  const outcome = debug ? (policy.allowDebugEnclave === true ? 'warning' : 'fail') : 'pass'
  checks.add('nitro.policy.debug', outcome, { where: 'pcr0 to pcr2' })
}
