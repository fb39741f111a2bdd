/** Names of requests and of what the broker does by itself, in refusals and in the audit. */
import { randomUUID } from 'node:crypto'

/** 32 hex digits. Of a UUID, for which Node keeps randomness ready: it costs a tenth of asking for 16 bytes. */
export function newRequestId(): string {
  return randomUUID().replaceAll('-', '')
}
