/**
 * Strict verification of confidential-computing Evidence. The names here are what most callers need; every part has its own subpath
 * (`@cloister/verifier/snp/launch-digest`, …), and a bundle holds only what it imports.
 */
export { appraise, isTee, TEE_NAMES } from './appraisal/appraise.ts'
export type { Tee, TeeTypes } from './appraisal/appraise.ts'
export { FormatError } from './bytes/format-error.ts'
export { recogniseQuote } from './dcap/recognise.ts'
export { EndorsementCache } from './result/endorsement-cache.ts'
export type { Anchor, Appraisal } from './result/appraisal.ts'
export type { Check } from './result/check.ts'
export { recogniseSnpEvidence } from './snp/recognise.ts'
