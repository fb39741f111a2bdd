/** The one call for all TEEs. A TEE is one line in {@link TeeTypes} and one in {@link TEES}. */
import type { AzSnpAppraisal, AzSnpAppraiseOptions } from '../azure/appraise-snp.ts'
import type { AzTdxAppraisal, AzTdxAppraiseOptions } from '../azure/appraise-tdx.ts'
import type { AzSnpEvidence, AzTdxEvidence } from '../azure/evidence.ts'
import type { CcaAppraisal, CcaAppraiseOptions } from '../cca/appraise.ts'
import type { NitroAppraisal, NitroAppraiseOptions } from '../nitro/appraise.ts'
import type { NvidiaAppraisal, NvidiaAppraiseOptions } from '../nvidia/appraise.ts'
import type { NvidiaEvidence } from '../nvidia/evidence.ts'
import type { SeAppraisal, SeAppraiseOptions } from '../se/appraise.ts'
import type { SeEvidence } from '../se/evidence.ts'
import type { SgxAppraisal, SgxAppraiseOptions } from '../sgx/appraise.ts'
import type { SnpAppraiseOptions, SnpAppraisal } from '../snp/appraise.ts'
import type { SnpEvidence } from '../snp/evidence.ts'
import type { TdxAppraisal, TdxAppraiseOptions } from '../tdx/appraise.ts'
import type { TpmAppraisal, TpmAppraiseOptions } from '../tpm/appraise.ts'
import type { TpmEvidence } from '../tpm/evidence.ts'

export interface TeeTypes {
  snp: { evidence: Uint8Array | SnpEvidence; options: SnpAppraiseOptions; result: SnpAppraisal }
  tdx: { evidence: Uint8Array; options: TdxAppraiseOptions; result: TdxAppraisal }
  'az-snp': {
    evidence: Uint8Array | AzSnpEvidence
    options: AzSnpAppraiseOptions
    result: AzSnpAppraisal
  }
  'az-tdx': {
    evidence: Uint8Array | AzTdxEvidence
    options: AzTdxAppraiseOptions
    result: AzTdxAppraisal
  }
  tpm: { evidence: Uint8Array | TpmEvidence; options: TpmAppraiseOptions; result: TpmAppraisal }
  sgx: { evidence: Uint8Array; options: SgxAppraiseOptions; result: SgxAppraisal }
  nitro: { evidence: Uint8Array; options: NitroAppraiseOptions; result: NitroAppraisal }
  cca: { evidence: Uint8Array; options: CcaAppraiseOptions; result: CcaAppraisal }
  nvidia: {
    evidence: Uint8Array | NvidiaEvidence
    options: NvidiaAppraiseOptions
    result: NvidiaAppraisal
  }
  se: { evidence: Uint8Array | SeEvidence; options: SeAppraiseOptions; result: SeAppraisal }
}

export type Tee = keyof TeeTypes

type Appraise<T extends Tee> = (
  evidence: TeeTypes[T]['evidence'],
  options: TeeTypes[T]['options'],
) => Promise<TeeTypes[T]['result']>

/** Each TEE's code is loaded when first needed. */
const TEES: { readonly [T in Tee]: () => Promise<Appraise<T>> } = {
  snp: once(async () => (await import('../snp/appraise.ts')).appraiseSnp),
  tdx: once(async () => (await import('../tdx/appraise.ts')).appraiseTdx),
  'az-snp': once(async () => (await import('../azure/appraise-snp.ts')).appraiseAzSnp),
  'az-tdx': once(async () => (await import('../azure/appraise-tdx.ts')).appraiseAzTdx),
  tpm: once(async () => (await import('../tpm/appraise.ts')).appraiseTpm),
  sgx: once(async () => (await import('../sgx/appraise.ts')).appraiseSgx),
  nitro: once(async () => (await import('../nitro/appraise.ts')).appraiseNitro),
  cca: once(async () => (await import('../cca/appraise.ts')).appraiseCca),
  nvidia: once(async () => (await import('../nvidia/appraise.ts')).appraiseNvidia),
  se: once(async () => (await import('../se/appraise.ts')).appraiseSe),
}

export const TEE_NAMES = Object.keys(TEES) as readonly Tee[]

export function isTee(name: string): name is Tee {
  return Object.hasOwn(TEES, name)
}

/**
 * Appraises Evidence of any TEE.
 *
 * @param options - `tee` and that TEE's own options: `expect`, `now`, `endorsements`, `policy`
 * @throws TypeError, RangeError on a caller's mistake, an unknown TEE among them; never because of hostile bytes
 */
export async function appraise<T extends Tee>(
  evidence: TeeTypes[T]['evidence'],
  options: { readonly tee: T } & TeeTypes[T]['options'],
): Promise<TeeTypes[T]['result']> {
  const { tee } = options
  if (!isTee(tee)) throw new TypeError(`unknown TEE "${String(tee)}"`)
  const appraiseTee = await TEES[tee]()
  return appraiseTee(evidence, options)
}

/** Keeps what was loaded, not a failure to: `import()` of a module that is there still costs 13 µs in Node. */
function once<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let loaded: Value | undefined
  return async () => (loaded ??= await load())
}
