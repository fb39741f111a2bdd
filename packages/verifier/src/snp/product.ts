/** Product lines of AMD's Key Distribution Service, and the processors in them. */
export type ProductLine = 'Milan' | 'Genoa' | 'Turin'

export const PRODUCT_LINES: readonly ProductLine[] = ['Milan', 'Genoa', 'Turin']

/** Combined CPUID family and model, as in reports of version 3 and later. */
export interface ProcessorId {
  readonly family: number
  readonly model: number
  readonly stepping: number
}

interface ModelRange {
  readonly line: ProductLine
  readonly family: number
  readonly first: number
  readonly last: number
}

/** Bergamo and Siena (0xA0..0xAF) belong to Genoa's line. Venice (0x1A, 0x50 and up) has no published root yet. */
const RANGES: readonly ModelRange[] = [
  { line: 'Milan', family: 0x19, first: 0x00, last: 0x0f },
  { line: 'Genoa', family: 0x19, first: 0x10, last: 0x1f },
  { line: 'Genoa', family: 0x19, first: 0xa0, last: 0xaf },
  { line: 'Turin', family: 0x1a, first: 0x00, last: 0x11 },
]

/** Undefined for a processor we do not know, 0/0 included: callers fail closed. */
export function productLineOf({ family, model }: ProcessorId): ProductLine | undefined {
  return RANGES.find(
    (range) => range.family === family && model >= range.first && model <= range.last,
  )?.line
}
