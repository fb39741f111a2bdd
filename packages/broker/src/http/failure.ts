/** What was thrown while a request was served, as the error to answer with. */
import { CloisterError } from '@cloister/protocol/error'
import type { BrokerParts } from '../parts.ts'

/** Tells of defects and of storage that fails; a refusal is neither. */
export function failureOf(thrown: unknown, { onBug }: Pick<BrokerParts, 'onBug'>): CloisterError {
  const error = CloisterError.from(thrown)
  if (error.code === 'internal.bug' || error.code === 'broker.storage') onBug(thrown)
  return error
}
