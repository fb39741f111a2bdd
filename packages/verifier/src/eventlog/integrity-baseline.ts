/** What a boot should measure: learned from a boot that its owner trusts, or predicted from the disk image before the first. */
import { toHex } from '../bytes/hex.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { bootEvents } from './boot-events.ts'
import type { BootEvent } from './boot-events.ts'
import { replayLog } from './replay.ts'
import type { TcgLog } from './tcg-log.ts'

/**
 * How much a baseline knows of one PCR. `exact`: every event, in order. `sequence`: every image that is started, in order, each once or
 * several times. `members`: nothing but these may be measured, in any order. `begins`: the first events; what follows is not known.
 * `command-lines`: the kernel's command line is one of these; nothing else of it is known. `outline`: every event, in order, of which those in
 * `open` may have any digest. `boot-entries`: boot entries of the firmware, and these events; of others nothing is known.
 */
export const KNOWLEDGE = [
  'exact',
  'sequence',
  'members',
  'begins',
  'command-lines',
  'outline',
  'boot-entries',
] as const
export type Knowledge = (typeof KNOWLEDGE)[number]

export interface BaselineRegister {
  readonly pcr: number
  readonly knowledge: Knowledge
  readonly events: readonly BootEvent[]
  /** The register's value, hex; only with `exact`. */
  readonly value?: string
  /** Indexes of events whose digest is not known; only with `outline`. */
  readonly open?: readonly number[]
}

export interface UnknownRegister {
  readonly pcr: number
  /** Why nothing, or not everything, of it could be known before a boot. */
  readonly why: string
}

export interface IntegrityBaseline {
  readonly version: 1
  readonly origin: 'learned' | 'predicted'
  readonly bank: HashName
  readonly registers: readonly BaselineRegister[]
  /** Only of a prediction. */
  readonly unknown?: readonly UnknownRegister[]
}

/** PCRs of the firmware up to the boot loader, and of the boot loader up to the kernel. IMA's (10) and later ones change while it runs. */
export const EARLY_PCRS = [0, 1, 2, 3, 4, 5, 6, 7] as const
export const LATE_PCRS = [8, 9, 11, 12, 13, 14] as const

/** SHA-256 where the log has it, for every TPM does; else the strongest that it has, SHA-1 never. @returns undefined when there is no other */
export function baselineBank({ hashes }: TcgLog): HashName | undefined {
  return (['sha256', 'sha512', 'sha384'] as const).find((name) =>
    hashes.some((hash) => hash.name === name),
  )
}

/** The baseline that exactly this boot fits. @throws FormatError when an event has no digest of that bank */
export async function learnBaseline(log: TcgLog, bank: HashName): Promise<IntegrityBaseline> {
  const events = await bootEvents(log, bank)
  const values = await replayLog(log, bank)
  const registers = [...EARLY_PCRS, ...LATE_PCRS].flatMap((pcr): BaselineRegister[] => {
    const value = values.get(pcr)
    if (value === undefined) return []
    const own = events.filter((event) => event.pcr === pcr)
    return [{ pcr, knowledge: 'exact', events: own, value: toHex(value) }]
  })
  return { version: 1, origin: 'learned', bank, registers }
}
