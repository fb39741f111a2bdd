/** The figures that TDX and SGX share: both are quotes under Intel's collateral. */
import { prepareDcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import type {
  DcapEndorsements,
  PreparedDcapEndorsements,
} from '@cloister/verifier/dcap/endorsements'
import { EndorsementCache } from '@cloister/verifier/result/endorsement-cache'
import type { FakeIntel } from '@cloister/verifier/testing/fake-intel'
import { cpuInTurns } from '../figure.ts'
import type { Figure } from '../figure.ts'
import { ecdsaCheck } from './native-checks.ts'
import { nativeQuoteChecks } from './quote-checks.ts'

const NOW = new Date('2026-06-01')
const DAY = 86_400_000

interface Options {
  readonly now: Date
  readonly endorsements: DcapEndorsements | PreparedDcapEndorsements
  readonly cache?: EndorsementCache
}

export async function dcapFigures(
  tee: 'TDX' | 'SGX',
  intel: FakeIntel,
  quote: Uint8Array,
  appraise: (options: Options) => Promise<{ readonly status: string }>,
): Promise<readonly Figure[]> {
  const day = (offset: number) => new Date(NOW.getTime() + offset * DAY)
  const raw = intel.endorsements(tee === 'TDX' ? 'tdx' : 'sgx', day(-1), day(1))
  const prepared = await prepareDcapEndorsements(raw, intel.root)
  const affirmed = async (options: Omit<Options, 'now'>) => {
    const { status } = await appraise({ ...options, now: NOW })
    if (status !== 'affirming') throw new Error(`the quote is ${status}`)
  }
  const { check } = ecdsaCheck('P-256', 632)
  const cache = new EndorsementCache()
  const [two, cached] = await cpuInTurns(
    () => [check(), check()],
    () => affirmed({ endorsements: prepared, cache }),
  )
  const [nine, cold] = await cpuInTurns(nativeQuoteChecks(quote, raw), () =>
    affirmed({ endorsements: raw }),
  )
  const figure = (name: string, floor: number, ours: number, limit: number): Figure => ({
    name: `appraise ${name}`,
    unit: 'µs CPU',
    floor,
    ours,
    promise: `at most ${limit} times`,
    held: ours <= floor * limit,
  })
  return [
    figure(
      `a ${tee} quote, all endorsements cached, against its two signature checks`,
      two,
      cached,
      1.25,
    ),
    figure(`a ${tee} quote, cold, against all its signature checks`, nine, cold, 1.3),
  ]
}
