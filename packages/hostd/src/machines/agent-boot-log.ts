/** The TCG event log that a guest's agent gives with its evidence. Whether a quote stands behind it is for the owner to see, who asks for evidence. */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import type { Guest } from '../guest.ts'

const NONCE_BYTES = 32
/** Base64 of 1 MiB: what agents give at most. */
const EvidenceSchema = z.object({
  event_log: z
    .base64()
    .min(4)
    .max((4 << 20) / 3 + 4),
})

/** @returns base64; undefined where the agent gives none, or none in time */
export async function agentBootLog(
  guest: Pick<Guest, 'evidence'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { evidenceJson } = await guest.evidence(randomBytes(NONCE_BYTES), signal)
    return EvidenceSchema.safeParse(JSON.parse(evidenceJson)).data?.event_log
  } catch (error) {
    // A guest that answers nothing of use is one without an agent.
    if (error instanceof SyntaxError || error instanceof CloisterError) return undefined
    throw error
  }
}
