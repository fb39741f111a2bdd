/** Calls the demo's published port and checks its proof that it holds the secret. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'

/** The service listens a moment after its container was started. */
const ATTEMPTS_MS = 30_000
const CALL_MS = 5000

export interface DemoAnswer {
  readonly nonce: string
  /** HMAC-SHA256 of the nonce under the secret, hex. */
  readonly proof: string
}

/** @throws CloisterError `demo.no-answer`, `demo.wrong-proof` */
export async function callDemo(
  port: number,
  secret: Uint8Array,
  signal: AbortSignal,
): Promise<DemoAnswer> {
  const nonce = randomBytes(32).toString('hex')
  const answer = await fetchUntil(
    `http://127.0.0.1:${port}/?nonce=${nonce}`,
    Date.now() + ATTEMPTS_MS,
    signal,
  )
  const expected = createHmac('sha256', secret).update(nonce).digest()
  const received = Buffer.from(answer.proof, 'hex')
  if (received.length !== expected.length || !timingSafeEqual(received, expected))
    throw new CloisterError('demo.wrong-proof')
  return { nonce, proof: answer.proof }
}

async function fetchUntil(url: string, deadline: number, signal: AbortSignal): Promise<DemoAnswer> {
  for (;;) {
    signal.throwIfAborted()
    try {
      const response = await fetch(url, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]),
      })
      return (await response.json()) as DemoAnswer
    } catch (cause) {
      if (Date.now() > deadline) throw new CloisterError('demo.no-answer', { where: url, cause })
      await sleep(200, undefined, { signal })
    }
  }
}
