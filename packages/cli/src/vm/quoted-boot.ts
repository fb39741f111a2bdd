/**
 * The boot of a VM as its TPM quotes it: the agent's event log, and a quote over a fresh nonce by a key that the owner's broker has seen in that TPM
 * (credential activation). Without the agent there is none: the guest alone reaches its TPM.
 */
import { randomBytes } from 'node:crypto'
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { fromHex } from '@cloister/verifier/bytes/hex'
import { parseTpmEvidenceJson } from '@cloister/verifier/tpm/evidence-json'
import { computeTpmTrust, type TpmReferences, type TpmVerdict } from '../owner/vm-evidence.ts'
import type { TrustCheck } from '../owner/trust-check.ts'

/**
 * `quoted`: these registers were quoted. `refused`: what was given as a quote does not hold, or is not over this log. `none`: nobody vouches for a
 * quote, and `why` says why.
 */
export type BootQuote =
  | {
      readonly status: 'quoted'
      readonly bank: 'sha256'
      readonly registers: ReadonlyMap<number, Uint8Array>
    }
  | { readonly status: 'refused'; readonly checks: readonly TrustCheck[] }
  | { readonly status: 'none'; readonly why: string }

export interface QuotedBoot {
  /** The agent's event log. Absent: it gave none. */
  readonly log?: Uint8Array
  readonly quote: BootQuote
}

export const NO_AGENT: BootQuote = {
  status: 'none',
  why: 'no agent answers, and only the guest reaches its TPM',
}

const NONCE_BYTES = 32

export interface QuoteRequest {
  readonly hostd: Pick<HostdClient, 'vms'>
  /** What the owner holds the quote against; throws `owner.broker-*` where there is no broker. */
  readonly references: () => Promise<TpmReferences>
  readonly signal: AbortSignal
}

/** @throws CloisterError `vm.not-found`, `hostd.*` */
export async function askQuotedBoot(name: string, request: QuoteRequest): Promise<QuotedBoot> {
  const { hostd, references, signal } = request
  const nonce = randomBytes(NONCE_BYTES)
  let answer: EvidenceAnswer
  try {
    answer = await hostd.vms.evidence(name, nonce, { signal })
  } catch (error) {
    // What the agent cannot give is as good as no agent: the log may still lie in memory.
    if (error instanceof CloisterError && /^(?:vm|agent|guest)\./.test(error.code))
      return { quote: { status: 'none', why: `the agent gave no evidence: ${error.code}` } }
    throw error
  }
  return await judgeQuote(answer, nonce, references, new Date())
}

/** @param nonce - the one that the evidence was asked with */
export async function judgeQuote(
  answer: EvidenceAnswer,
  nonce: Uint8Array,
  references: QuoteRequest['references'],
  now: Date,
): Promise<QuotedBoot> {
  if (answer.tee !== 'tpm')
    return { quote: { status: 'none', why: `the agent proves itself by ${answer.tee}` } }
  const log = logIn(answer)
  const found = { ...(log !== undefined && { log }) }
  try {
    const verdict = await computeTpmTrust(answer, nonce, await references(), now)
    return { ...found, quote: quoteOf(verdict) }
  } catch (error) {
    if (!(error instanceof CloisterError && error.code.startsWith('owner.broker-'))) throw error
    const why = `there is no broker that has certified the TPM's key: ${error.code}`
    return { ...found, quote: { status: 'none', why } }
  }
}

function quoteOf({ trust, checks, claims }: TpmVerdict): BootQuote {
  if (claims !== undefined) {
    const registers = new Map(
      Object.entries(claims.pcrs).map(([name, value]) => [
        Number(name.replace(/^\D+/, '')),
        fromHex(value),
      ]),
    )
    return { status: 'quoted', bank: 'sha256', registers }
  }
  if (trust !== 'failed')
    return { status: 'none', why: "no broker of the owner's has certified the TPM's key" }
  return { status: 'refused', checks: checks.filter(({ outcome }) => outcome === 'fail') }
}

function logIn({ evidenceJson }: EvidenceAnswer): Uint8Array | undefined {
  try {
    return parseTpmEvidenceJson(JSON.parse(evidenceJson)).eventLog
  } catch (error) {
    if (error instanceof FormatError || error instanceof SyntaxError) return undefined
    throw error
  }
}
