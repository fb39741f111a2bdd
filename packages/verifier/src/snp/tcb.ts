/** TCB_VERSION (AMD 56860): eight bytes whose meaning depends on the processor generation. */
import type { ProductLine } from './product.ts'

/** Security version numbers of the firmware parts. */
export interface Tcb {
  /** Turin and later; null before. */
  readonly fmc: number | null
  readonly bootloader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
}

export type TcbComponent = keyof Tcb

export const TCB_COMPONENTS: readonly TcbComponent[] = [
  'fmc',
  'bootloader',
  'tee',
  'snp',
  'microcode',
]

/** The byte in which each component stands; null where the generation has none. */
type Layout = Readonly<Tcb>

/** Byte of each component. Reading Turin by the older layout gives plausible, wrong values. */
const MILAN_GENOA: Layout = { fmc: null, bootloader: 0, tee: 1, snp: 6, microcode: 7 }
const TURIN: Layout = { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 7 }

const LAYOUTS: Readonly<Record<ProductLine, Layout>> = {
  Milan: MILAN_GENOA,
  Genoa: MILAN_GENOA,
  Turin: TURIN,
}

/** @param raw - 8 bytes as in the report */
export function readTcb(raw: Uint8Array, line: ProductLine): Tcb {
  const { fmc, bootloader, tee, snp, microcode } = LAYOUTS[line]
  return {
    fmc: fmc === null ? null : at(raw, fmc),
    bootloader: at(raw, bootloader),
    tee: at(raw, tee),
    snp: at(raw, snp),
    microcode: at(raw, microcode),
  }
}

/** The 8 bytes of a report. */
export function encodeTcb(tcb: Tcb, line: ProductLine): Uint8Array<ArrayBuffer> {
  const raw = new Uint8Array(8)
  const layout = LAYOUTS[line]
  for (const component of TCB_COMPONENTS) {
    const place = layout[component]
    if (place !== null) raw[place] = tcb[component] ?? 0
  }
  return raw
}

/** Whether every byte that no component uses is zero. */
export function hasOnlyKnownComponents(raw: Uint8Array, line: ProductLine): boolean {
  const { fmc, bootloader, tee, snp, microcode } = LAYOUTS[line]
  for (let index = 0; index < raw.length; index++) {
    const used =
      index === fmc || index === bootloader || index === tee || index === snp || index === microcode
    if (!used && raw[index] !== 0) return false
  }
  return true
}

/** Components in which `tcb` is below `floor`; never compared as one integer. Absent components have no floor. */
export function componentsBelow(tcb: Tcb, floor: Partial<Tcb>): TcbComponent[] {
  return TCB_COMPONENTS.filter((name) => (tcb[name] ?? 0) < (floor[name] ?? 0))
}

export function isSameTcb(a: Tcb, b: Tcb): boolean {
  return TCB_COMPONENTS.every((name) => (a[name] ?? 0) === (b[name] ?? 0))
}

/** `fmc 0, bootloader 10, tee 0, snp 27, microcode 27`. */
export function tcbText(tcb: Partial<Tcb>): string {
  let text = ''
  for (const name of TCB_COMPONENTS) {
    const svn = tcb[name]
    if (svn !== null && svn !== undefined) text += `${text === '' ? '' : ', '}${name} ${svn}`
  }
  return text
}

function at(raw: Uint8Array, index: number): number {
  return raw[index] as number
}
