/** Promise: an SNP report with its endorsements cached costs at most 1.15 times one native P-384 verification; cold, 1.3 times its signature checks. */
import { EndorsementCache } from '@cloister/verifier/result/endorsement-cache'
import { appraiseSnp } from '@cloister/verifier/snp/appraise'
import type { SnpAppraiseOptions } from '@cloister/verifier/snp/appraise'
import { newSnpReport } from '@cloister/verifier/snp/report-template'
import { FakeAmd, GENOA_GUEST } from '@cloister/verifier/testing/fake-amd'
import type { Figure } from './figure.ts'
import { cpuInTurns } from './figure.ts'
import { ecdsaCheck, rsaPssCheck } from './support/native-checks.ts'

const ANY = { reportData: 'any', measurement: 'any', hostData: 'any' } as const

export async function run(): Promise<readonly Figure[]> {
  const amd = new FakeAmd({ names: 'simulated', rsaAuthorities: true })
  const evidence = amd.evidence(newSnpReport(GENOA_GUEST))
  const options: SnpAppraiseOptions = {
    expect: ANY,
    now: new Date('2026-06-01'),
    simulatedRoots: [amd.fingerprint],
  }
  const cache = new EndorsementCache()
  const appraise = async (with_: SnpAppraiseOptions) => {
    const { status } = await appraiseSnp(evidence, with_)
    if (status !== 'warning') throw new Error(`the report is ${status}`)
  }
  const report = ecdsaCheck('P-384', 672).check
  const coldReport = ecdsaCheck('P-384', 672).importAndCheck
  const certificate = rsaPssCheck(1000).importAndCheck
  const [one, cached] = await cpuInTurns(report, () => appraise({ ...options, cache }))
  // Cold: leaf by intermediate, intermediate by root, report by leaf. Cold, a native check begins with reading its key.
  const [three, cold] = await cpuInTurns(
    () => [certificate(), certificate(), coldReport()],
    () => appraise(options),
  )
  const unit = 'µs CPU'
  return [
    {
      name: 'appraise an SNP report, endorsements cached, against one P-384 verification',
      unit,
      floor: one,
      ours: cached,
      promise: 'at most 1.15 times',
      held: cached <= one * 1.15,
    },
    {
      name: 'appraise an SNP report, cold, against its signature checks',
      unit,
      floor: three,
      ours: cold,
      promise: 'at most 1.3 times',
      held: cold <= three * 1.3,
    },
  ]
}

if (import.meta.main) for (const figure of await run()) console.log(figure)
