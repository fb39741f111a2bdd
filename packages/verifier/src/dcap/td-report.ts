/** TD report bodies in quotes: 584 bytes for TDX 1.0, 648 for 1.5 (Intel TDX DCAP, TD Quote Body). */
import { concatBytes } from '../bytes/concat.ts'
import { ByteReader } from '../bytes/reader.ts'

export const TD_REPORT_10_SIZE = 584
export const TD_REPORT_15_SIZE = 648

export interface TdReport {
  /** 16 bytes: module SVN, module version, loader SVN, … */
  readonly teeTcbSvn: Uint8Array
  readonly mrSeam: Uint8Array
  readonly mrSignerSeam: Uint8Array
  readonly seamAttributes: Uint8Array
  readonly tdAttributes: Uint8Array
  readonly xfam: Uint8Array
  readonly mrTd: Uint8Array
  readonly mrConfigId: Uint8Array
  readonly mrOwner: Uint8Array
  readonly mrOwnerConfig: Uint8Array
  readonly rtmr0: Uint8Array
  readonly rtmr1: Uint8Array
  readonly rtmr2: Uint8Array
  readonly rtmr3: Uint8Array
  readonly reportData: Uint8Array
  /** TDX 1.5: the TCB of the module that runs now, after an update that kept TDs alive. */
  readonly teeTcbSvn2: Uint8Array | undefined
  /** TDX 1.5: the service TD that is bound, zero without one. */
  readonly mrServiceTd: Uint8Array | undefined
}

/** In the order of the layout, those of TDX 1.0. */
const FIELDS = [
  'teeTcbSvn',
  'mrSeam',
  'mrSignerSeam',
  'seamAttributes',
  'tdAttributes',
  'xfam',
  'mrTd',
  'mrConfigId',
  'mrOwner',
  'mrOwnerConfig',
  'rtmr0',
  'rtmr1',
  'rtmr2',
  'rtmr3',
  'reportData',
] as const satisfies readonly (keyof TdReport)[]

/** @param bytes - 584 or 648 bytes. @throws FormatError */
export function parseTdReport(bytes: Uint8Array): TdReport {
  const reader = new ByteReader('TD report', bytes)
  // In the order of the layout: members are read as they stand here.
  const common = {
    teeTcbSvn: reader.bytes(16, 'teeTcbSvn'),
    mrSeam: reader.bytes(48, 'mrSeam'),
    mrSignerSeam: reader.bytes(48, 'mrSignerSeam'),
    seamAttributes: reader.bytes(8, 'seamAttributes'),
    tdAttributes: reader.bytes(8, 'tdAttributes'),
    xfam: reader.bytes(8, 'xfam'),
    mrTd: reader.bytes(48, 'mrTd'),
    mrConfigId: reader.bytes(48, 'mrConfigId'),
    mrOwner: reader.bytes(48, 'mrOwner'),
    mrOwnerConfig: reader.bytes(48, 'mrOwnerConfig'),
    rtmr0: reader.bytes(48, 'rtmr0'),
    rtmr1: reader.bytes(48, 'rtmr1'),
    rtmr2: reader.bytes(48, 'rtmr2'),
    rtmr3: reader.bytes(48, 'rtmr3'),
    reportData: reader.bytes(64, 'reportData'),
  }
  const isOld = reader.left === 0
  const teeTcbSvn2 = isOld ? undefined : reader.bytes(16, 'teeTcbSvn2')
  const mrServiceTd = isOld ? undefined : reader.bytes(48, 'mrServiceTd')
  reader.end()
  return { ...common, teeTcbSvn2, mrServiceTd }
}

export function encodeTdReport(report: TdReport): Uint8Array<ArrayBuffer> {
  const { teeTcbSvn2 = new Uint8Array(), mrServiceTd = new Uint8Array() } = report
  return concatBytes(...FIELDS.map((name) => report[name]), teeTcbSvn2, mrServiceTd)
}
