/** What a guest answered to a nonce, unverified; of a container and of a VM alike. */
import { randomBytes } from 'node:crypto'
import type { HostdClient } from '@cloister/hostd/client'
import type { Invocation } from './command.ts'
import { nonceOption } from './nonce-option.ts'

export const ATTEST_OPTIONS = {
  nonce: {
    type: 'string',
    value: 'HEX',
    help: '16 to 64 bytes of your own; default 32 random bytes',
  },
} as const

/** @param guests - hostd's calls for containers, or those for VMs */
export async function printAttestation(
  name: string,
  guests: Pick<HostdClient, 'evidence' | 'status'>,
  invocation: Invocation,
): Promise<void> {
  const nonce = nonceOption(invocation) ?? randomBytes(32)
  const { signal } = invocation
  const [evidence, status] = await Promise.all([
    guests.evidence(name, nonce, { signal }),
    guests.status(name, { signal }),
  ])
  const answer = {
    nonce: Buffer.from(nonce).toString('hex'),
    tee: evidence.tee,
    evidence: JSON.parse(evidence.evidenceJson) as unknown,
    agentKey: evidence.agentKey,
    channelKey: evidence.channelKey,
    initdata: evidence.initdata,
    token: status.token,
    attestations: status.attestations,
  }
  await invocation.output.object(answer, { name, text: () => JSON.stringify(answer, null, 2) })
}
