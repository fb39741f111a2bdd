/**
 * Dated minimums of the TCB, from AMD's security bulletins: what a platform must run to have the mitigations that those bulletins name. AMD signs no
 * statement of what is current, so these are only as new as their date. Each is for exactly one processor, for microcode is numbered anew for each
 * family, model and stepping; a processor without a figure has none in the sources, and is refused rather than guessed.
 *
 * Microcode SVNs are the low byte of the microcode revision. Sources are listed in docs/reference/evidence-snp.md, "Dated TCB presets".
 */
import type { ProcessorId } from './product.ts'
import type { Tcb } from './tcb.ts'

export interface TcbFloor {
  /** As AMD calls the part. */
  readonly part: string
  readonly processor: ProcessorId
  /** Components without a figure have no minimum. */
  readonly tcb: Partial<Tcb>
  /** AMD's ids. */
  readonly bulletins: readonly string[]
}

const PARTS = {
  milan: { part: 'Milan', processor: { family: 0x19, model: 0x01, stepping: 1 } },
  milanX: { part: 'Milan-X', processor: { family: 0x19, model: 0x01, stepping: 2 } },
  genoa: { part: 'Genoa', processor: { family: 0x19, model: 0x11, stepping: 1 } },
  genoaX: { part: 'Genoa-X', processor: { family: 0x19, model: 0x11, stepping: 2 } },
  bergamo: { part: 'Bergamo and Siena', processor: { family: 0x19, model: 0xa0, stepping: 2 } },
  turin: { part: 'Turin', processor: { family: 0x1a, model: 0x02, stepping: 1 } },
} as const

const ENTRYSIGN = 'AMD-SB-3019'
const RMPOCALYPSE = 'AMD-SB-3020'
const STACKWARP = 'AMD-SB-3027'
const IOMMU = 'AMD-SB-3016'
const BREAKFAST = 'AMD-SB-3030'

export const TCB_PRESETS = {
  '2025-02': [
    floor('milan', { snp: 0x18, microcode: 0xdb }, ENTRYSIGN),
    floor('milanX', { snp: 0x18, microcode: 0x44 }, ENTRYSIGN),
    floor('genoa', { snp: 0x17, microcode: 0x54 }, ENTRYSIGN),
    floor('genoaX', { snp: 0x17, microcode: 0x4f }, ENTRYSIGN),
    floor('bergamo', { snp: 0x17, microcode: 0x19 }, ENTRYSIGN),
  ],
  '2026-04': [
    floor('milan', { snp: 0x1b, microcode: 0xdb }, ENTRYSIGN, IOMMU),
    floor('milanX', { snp: 0x1b, microcode: 0x44 }, ENTRYSIGN, IOMMU),
    floor('genoa', { snp: 0x1b, microcode: 0x56 }, ENTRYSIGN, RMPOCALYPSE, STACKWARP, IOMMU),
    floor('genoaX', { snp: 0x1b, microcode: 0x51 }, ENTRYSIGN, RMPOCALYPSE, STACKWARP, IOMMU),
    floor('bergamo', { snp: 0x1b, microcode: 0x19 }, ENTRYSIGN, IOMMU),
    floor('turin', { snp: 0x04, microcode: 0x51 }, RMPOCALYPSE, STACKWARP),
  ],
  '2026-05': [
    floor('milan', { snp: 0x1d, microcode: 0xdb }, ENTRYSIGN, IOMMU, BREAKFAST),
    floor('milanX', { snp: 0x1d, microcode: 0x44 }, ENTRYSIGN, IOMMU, BREAKFAST),
  ],
} as const satisfies Readonly<Record<string, readonly TcbFloor[]>>

export type TcbPreset = keyof typeof TCB_PRESETS

export function isTcbPreset(name: string): name is TcbPreset {
  return Object.hasOwn(TCB_PRESETS, name)
}

/** Undefined where the preset has no figure for the processor, or the report does not name one. */
export function tcbFloorOf(
  preset: TcbPreset,
  processor: ProcessorId | undefined,
): TcbFloor | undefined {
  if (processor === undefined) return undefined
  const { family, model, stepping } = processor
  const floors: readonly TcbFloor[] = TCB_PRESETS[preset]
  return floors.find(
    ({ processor: of }) => of.family === family && of.model === model && of.stepping === stepping,
  )
}

function floor(
  part: keyof typeof PARTS,
  tcb: Partial<Tcb>,
  ...bulletins: readonly string[]
): TcbFloor {
  return { ...PARTS[part], tcb, bulletins }
}
