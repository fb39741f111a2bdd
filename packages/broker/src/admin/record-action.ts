/** Puts what the owner does into the audit, before it is done: what is not recorded does not happen. */
import type { BrokerParts } from '../parts.ts'

export function recordAction(
  parts: Pick<BrokerParts, 'audit' | 'now'>,
  requestId: string,
  action: string,
  subject: string,
): void {
  parts.audit.append(
    {
      time: parts.now(),
      requestId,
      kind: 'admin',
      outcome: 'allowed',
      subject: `${action} ${subject}`.slice(0, 512),
      checks: [],
    },
    'durable',
  )
}
