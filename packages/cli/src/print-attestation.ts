/** What a guest answered to a nonce, unverified; of a container and of a VM alike. */
import { createHash, randomBytes } from 'node:crypto'
import type { HostdClient } from '@cloister/hostd/client'
import { z } from 'zod'
import type { Invocation } from './command.ts'
import { escapeText } from './escape-text.ts'
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
  await invocation.output.object(answer, { name, text: () => attestationText(answer) })
  invocation.output.talk(`whole: add -o json; judged: cloister verify ${name}`)
}

interface Answer {
  readonly nonce: string
  readonly tee: string
  readonly evidence: unknown
  readonly agentKey: string
  readonly channelKey: string
  readonly initdata: string
  readonly token: string
  readonly attestations: number
}

/** Lines for people; digests stand for what is long. */
function attestationText(answer: Answer): string {
  const members =
    typeof answer.evidence === 'object' && answer.evidence !== null
      ? Object.keys(answer.evidence).join(', ')
      : ''
  const lines: readonly (readonly [string, string])[] = [
    ['nonce', answer.nonce],
    ['evidence', `${answer.tee}: ${members}`],
    ['agent key', digestOf(answer.agentKey)],
    ['channel key', digestOf(answer.channelKey)],
    ['initdata', digestOf(answer.initdata)],
    ['token', tokenText(answer.token)],
    ['attestations', String(answer.attestations)],
  ]
  return ['unverified: what the guest answered; keys and initdata by their SHA-256']
    .concat(lines.map(([title, text]) => `  ${title.padEnd(12)}  ${escapeText(text)}`))
    .join('\n')
}

function digestOf(base64: string): string {
  return createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex')
}

/** What the token says of itself; nobody has checked its signature here. */
function tokenText(token: string): string {
  const claims = TokenClaimsSchema.safeParse(payloadOf(token)).data
  if (claims === undefined) return 'none'
  const status = Object.entries(claims.submods).map(
    ([name, { 'ear.status': value }]) => `${name} ${value}`,
  )
  return `${status.join(', ')}, until ${new Date(claims.exp * 1000).toISOString()}`
}

const TokenClaimsSchema = z.object({
  exp: z.int().max(253_402_300_799),
  submods: z.record(z.string(), z.object({ 'ear.status': z.string() })),
})

function payloadOf(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}
