/** The owner's own appraisal of a TD's quote: against the image whose registers it has, and the machine that the owner accepted. */
import type { GuestImageManifest, TdxRegisters } from '@cloister/protocol/guest-image-manifest'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { initdataField } from '@cloister/protocol/initdata'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { toHex } from '@cloister/verifier/bytes/hex'
import type { DcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import { parseQuote } from '@cloister/verifier/dcap/quote'
import { recogniseQuote } from '@cloister/verifier/dcap/recognise'
import type { TdReport } from '@cloister/verifier/dcap/td-report'
import { appraiseTdx, type TdxAppraisal } from '@cloister/verifier/tdx/appraise'

/** Intel's collateral for a quote; nothing where none is at hand. */
export type IntelCollateral = (quote: Uint8Array) => Promise<DcapEndorsements>

export interface TdReferences {
  /** Images that the guest may have booted. */
  readonly manifests: readonly GuestImageManifest[]
  /** Accepted values of RTMR0, hex. None: any, and the result is a warning. */
  readonly rtmr0: readonly string[]
  /** Absent: none. */
  readonly intelCollateral?: IntelCollateral
}

export interface TdQuestion {
  readonly reportData: Uint8Array
  /** SHA-256 of the initdata. */
  readonly hostData: Uint8Array
  readonly now: Date
}

export interface TdVerdict {
  readonly appraisal: TdxAppraisal
  /** RTMR1, in which kernel, initrd and command line stand; hex. */
  readonly rtmr1: string
}

const CONFIG_ID_BYTES = 48

/** @returns undefined when the evidence cannot be read */
export async function appraiseTd(
  { evidenceJson }: EvidenceAnswer,
  { reportData, hostData, now }: TdQuestion,
  { manifests, rtmr0, intelCollateral }: TdReferences,
  appraise: typeof appraiseTdx = appraiseTdx,
): Promise<TdVerdict | undefined> {
  const read = readQuote(evidenceJson)
  if (read === undefined) return undefined
  // An empty list matches nothing.
  const { mrTd = [], rtmr1 = [], rtmr2 = [] } = expectedRegisters(read.report, manifests) ?? {}
  const appraisal = await appraise(read.quote, {
    expect: {
      reportData,
      mrConfigId: initdataField(hostData, CONFIG_ID_BYTES),
      mrTd,
      rtmr0: rtmr0.length === 0 ? 'any' : rtmr0,
      rtmr1,
      rtmr2,
      // For what the guest measures while it runs.
      rtmr3: 'any',
    },
    now,
    endorsements: (await intelCollateral?.(read.quote)) ?? {},
    policy: { requireSeptVeDisable: true },
  })
  return { appraisal, rtmr1: toHex(read.report.rtmr1) }
}

/** Those of the image that fits; where none does, of one that the checks can be made against. */
function expectedRegisters(
  report: TdReport,
  manifests: readonly GuestImageManifest[],
): TdxRegisters | undefined {
  const known = manifests.flatMap(({ expected }) => expected.tdx?.hardware ?? [])
  const fits = known.find(
    ({ mrTd, rtmr1, rtmr2 }) =>
      mrTd === toHex(report.mrTd) && rtmr1 === toHex(report.rtmr1) && rtmr2 === toHex(report.rtmr2),
  )
  return fits ?? known[0]
}

function readQuote(evidenceJson: string): { quote: Uint8Array; report: TdReport } | undefined {
  try {
    const quote = recogniseQuote(Buffer.from(evidenceJson))
    const { body } = parseQuote(quote)
    return body.kind === 'tdx' ? { quote, report: body.report } : undefined
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}
