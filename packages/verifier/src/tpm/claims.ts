/** TPM claims in a form that JSON carries without loss: bytes in hex, 64-bit words as `0x…`. */
import { toHex } from '../bytes/hex.ts'
import type { BootState } from '../eventlog/boot-state.ts'
import type { BootClaims as LogClaims } from '../eventlog/appraise.ts'
import type { CelRecord } from '../eventlog/cel.ts'
import type { SignatureEntry } from '../eventlog/uefi-variable.ts'
import type { HashName } from './algorithms.ts'
import { parseTpmAttest } from './attest.ts'
import type { TpmAttest } from './attest.ts'
import type { GceInstance } from './certificate.ts'
import type { TpmEvidence } from './evidence.ts'
import { pcrClaims } from './pcrs.ts'
import type { PcrName } from './policy.ts'

export interface TpmClaims {
  readonly tee: 'tpm'
  /** The nonce in the quote. */
  readonly reportData: string
  /** SHA-256 of the attestation key's SPKI. */
  readonly ak: string
  readonly bank: HashName
  readonly pcrs: Readonly<Partial<Record<PcrName, string>>>
  readonly clock: TpmClock
  /** Null without an event log that adds up. */
  readonly boot: BootClaims | null
  /** Null without a canonical log that adds up. */
  readonly container: readonly ContainerClaim[] | null
  readonly instance: GceInstance | null
}

export interface TpmClock {
  /** Milliseconds. */
  readonly clock: string
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: boolean
  readonly firmwareVersion: string
}

export interface BootClaims extends BootState {
  readonly secureBoot: SecureBootClaims | null
}

export interface SecureBootClaims {
  readonly enabled: boolean
  readonly platformKeys: readonly SignatureClaim[]
  readonly keyExchangeKeys: readonly SignatureClaim[]
  readonly allowed: readonly SignatureClaim[]
  readonly forbidden: readonly SignatureClaim[]
  readonly authorities: readonly {
    readonly name: string
    readonly data: string
    readonly verified: boolean
  }[]
}

interface SignatureClaim {
  readonly kind: SignatureEntry['kind']
  readonly data: string
}

export interface ContainerClaim {
  readonly name: CelRecord['event']['name']
  readonly value: string
}

export interface TpmFindings {
  readonly ak: Uint8Array
  readonly attest: TpmAttest
  readonly bank: HashName
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  readonly boot?: LogClaims | undefined
  readonly container?: readonly CelRecord[] | undefined
  readonly instance?: GceInstance | undefined
}

export function tpmClaims(findings: TpmFindings): TpmClaims {
  const { ak, attest, bank, pcrs, boot, container, instance } = findings
  return {
    tee: 'tpm',
    reportData: toHex(attest.extraData),
    ak: toHex(ak),
    bank,
    pcrs: pcrClaims(pcrs),
    clock: clockClaims(attest),
    boot: boot === undefined ? null : bootClaims(boot),
    container:
      container?.map(({ event }) => ({
        name: event.name,
        value: new TextDecoder().decode(event.value),
      })) ?? null,
    instance: instance ?? null,
  }
}

export function clockClaims(attest: TpmAttest): TpmClock {
  const { resetCount, restartCount, clockSafe } = attest
  return {
    clock: `${attest.clock}`,
    resetCount,
    restartCount,
    safe: clockSafe,
    firmwareVersion: `0x${attest.firmwareVersion.toString(16)}`,
  }
}

export function bootClaims({ secureBoot, ...state }: LogClaims): BootClaims {
  if (secureBoot === null) return { ...state, secureBoot: null }
  const { enabled, platformKeys, keyExchangeKeys, allowed, forbidden, authorities } = secureBoot
  return {
    ...state,
    secureBoot: {
      enabled,
      platformKeys: platformKeys.map(signatureClaim),
      keyExchangeKeys: keyExchangeKeys.map(signatureClaim),
      allowed: allowed.map(signatureClaim),
      forbidden: forbidden.map(signatureClaim),
      authorities: authorities.map((authority) => ({
        ...authority,
        data: toHex(authority.data),
      })),
    },
  }
}

function signatureClaim({ kind, data }: SignatureEntry): SignatureClaim {
  return { kind, data: toHex(data) }
}

/** What the bytes say, before anybody looked at a signature. @throws FormatError when a quote is malformed */
export function unverifiedTpmClaims({ ak, quotes, certificate }: TpmEvidence): object {
  return {
    tee: 'tpm',
    akPublic: toHex(ak),
    certified: certificate !== undefined,
    quotes: quotes.map(({ message, signature, banks }) => {
      const attest = parseTpmAttest(message)
      return {
        reportData: toHex(attest.extraData),
        clock: clockClaims(attest),
        selections: attest.selections,
        pcrDigest: toHex(attest.pcrDigest),
        signature: `${signature.algorithm} with ${signature.hash}`,
        banks: banks.map(({ hash, values }) => ({ hash, pcrs: pcrClaims(values) })),
      }
    }),
  }
}
