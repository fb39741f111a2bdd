/**
 * What a TD's event log says of its machine, for the audit: an owner who is to accept RTMR0 sees what it is made of. Nothing is decided by it. The digests
 * are kept only where they add up to the register that the quote holds; the words beside them are labels.
 */
import { fromBase64 } from '@cloister/verifier/bytes/base64'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { explainEvents } from '@cloister/verifier/eventlog/explain-log'
import { digestOf, parseTcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { EVENT_TYPE } from '@cloister/verifier/eventlog/event-types'
import type { Check } from '@cloister/verifier/result/check'
import { replayRtmr } from '@cloister/verifier/tdx/rtmr'
import { MACHINE_EVENT } from '@cloister/protocol/broker-admin-api'

/** Base64 of a log area; firmware makes it 64 KiB. */
const MAX_LOG_CHARACTERS = 1 << 20
/** Firmware that boots a kernel directly makes some 16. */
const MAX_EVENTS = 64
const MAX_TEXT = 120
/** Of a CCEL. */
const RTMR0 = 1

/**
 * In the order of the log; none for a log that is missing, malformed, too long or of another register.
 *
 * @param log - base64. Attacker-controlled
 * @param rtmr0 - of the quote, hex
 */
export async function machineEvents(log: unknown, rtmr0: string): Promise<readonly Check[]> {
  if (typeof log !== 'string' || log.length > MAX_LOG_CHARACTERS) return []
  try {
    return await eventsOf(fromBase64(log), rtmr0)
  } catch (error) {
    if (error instanceof FormatError) return []
    throw error
  }
}

async function eventsOf(bytes: Uint8Array, rtmr0: string): Promise<Check[]> {
  const log = parseTcgLog(bytes)
  const events = log.events.filter(
    ({ index, type }) => index === RTMR0 && type !== EVENT_TYPE.noAction,
  )
  if (events.length > MAX_EVENTS) return []
  const digests = events.flatMap((event) => digestOf(event, 'sha384') ?? [])
  if (digests.length !== events.length || toHex(await replayRtmr(digests)) !== rtmr0) return []
  const explained = await explainEvents({ ...log, events }, 'sha384')
  return explained.events.map(({ description, isMeasured, digest }) => ({
    code: MACHINE_EVENT,
    outcome: 'not-checked',
    received: digest ?? '',
    where: isMeasured ? description.slice(0, MAX_TEXT) : `(${description.slice(0, MAX_TEXT)})`,
  }))
}
