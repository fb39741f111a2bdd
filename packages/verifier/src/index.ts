/** @see README.md: every concern has its own subpath; the one call for all is `@cloister/verifier/appraisal/appraise`. */
export { FormatError } from './bytes/format-error.ts'
