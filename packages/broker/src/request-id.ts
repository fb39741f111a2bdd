/** Names of requests and of what the broker does by itself, in refusals and in the audit. */
import { randomBytes } from 'node:crypto'

const ID_DIGITS = 32
/** So many at once: asking for randomness costs more than what comes of it. */
const IDS = 128

let digits = ''
let used = 0

/** 32 hex digits. */
export function newRequestId(): string {
  if (used === digits.length) {
    digits = randomBytes((IDS * ID_DIGITS) / 2).toString('hex')
    used = 0
  }
  used += ID_DIGITS
  return digits.slice(used - ID_DIGITS, used)
}
