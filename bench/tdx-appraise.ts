/** Promise: a TDX quote with its collateral prepared costs at most 1.25 times its own signature checks; cold, 1.3 times all of them. */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { prepareDcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import type { TdReport } from '@cloister/verifier/dcap/td-report'
import { EndorsementCache } from '@cloister/verifier/result/endorsement-cache'
import type { TdxAppraiseOptions } from '@cloister/verifier/tdx/appraise'
import { FakeIntel } from '@cloister/verifier/testing/fake-intel'
import { cpuInTurns } from './figure.ts'
import type { Figure } from './figure.ts'

const NOW = new Date('2026-06-01')
const DAY = 86_400_000
const ANY = {
  reportData: 'any',
  mrTd: 'any',
  mrConfigId: 'any',
  rtmr0: 'any',
  rtmr1: 'any',
  rtmr2: 'any',
  rtmr3: 'any',
} as const

/** PCK by its CA, CA and TCB signer by the root, TCB info, QE identity, two lists, QE report, quote. */
const COLD_CHECKS = 9

export async function run(): Promise<readonly Figure[]> {
  const intel = new FakeIntel()
  const quote = intel.quote({ kind: 'tdx', report: blankTd() })
  const raw = intel.endorsements(
    'tdx',
    new Date(NOW.getTime() - DAY),
    new Date(NOW.getTime() + DAY),
  )
  const prepared = await prepareDcapEndorsements(raw, intel.root)
  const cache = new EndorsementCache()
  const appraise = async (options: Partial<TdxAppraiseOptions>) => {
    const { status } = await intel.appraiseTdx(quote, { expect: ANY, now: NOW, ...options })
    if (status !== 'affirming') throw new Error(`the quote is ${status}`)
  }
  const check = p256Verification()
  // The QE report by a known key; the quote by a key that is new each time.
  const [two, warm] = await cpuInTurns(
    () => [check(), check(true)],
    () => appraise({ endorsements: prepared, cache }),
  )
  const [all, cold] = await cpuInTurns(
    () => Array.from({ length: COLD_CHECKS }, () => check(true)),
    () => appraise({ endorsements: raw }),
  )
  const unit = 'µs CPU'
  return [
    {
      name: 'appraise a TDX quote, collateral prepared, against its own signature checks',
      unit,
      floor: two,
      ours: warm,
      promise: 'at most 1.25 times',
      held: warm <= two * 1.25,
    },
    {
      name: 'appraise a TDX quote, cold, against all signature checks',
      unit,
      floor: all,
      ours: cold,
      promise: 'at most 1.3 times',
      held: cold <= all * 1.3,
    },
  ]
}

/** One native verification over 632 bytes; with a key import when asked for. */
function p256Verification(): (imports?: boolean) => boolean {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const data = new Uint8Array(632).fill(1)
  const dsaEncoding = 'ieee-p1363'
  const signature = sign('sha256', data, { key: privateKey, dsaEncoding })
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  return (imports = false) => {
    const key = imports ? createPublicKey({ key: spki, format: 'der', type: 'spki' }) : publicKey
    return verify('sha256', data, { key, dsaEncoding }, signature)
  }
}

function blankTd(): TdReport {
  const zeros = (length: number) => new Uint8Array(length)
  return {
    teeTcbSvn: Uint8Array.of(5, 1, 5, ...zeros(13)),
    mrSeam: zeros(48),
    mrSignerSeam: zeros(48),
    seamAttributes: zeros(8),
    tdAttributes: Uint8Array.of(0, 0, 0, 0x10, 0, 0, 0, 0),
    xfam: zeros(8),
    mrTd: zeros(48),
    mrConfigId: zeros(48),
    mrOwner: zeros(48),
    mrOwnerConfig: zeros(48),
    rtmr0: zeros(48),
    rtmr1: zeros(48),
    rtmr2: zeros(48),
    rtmr3: zeros(48),
    reportData: zeros(64),
    teeTcbSvn2: undefined,
    mrServiceTd: undefined,
  }
}

if (import.meta.main) for (const figure of await run()) console.log(figure)
