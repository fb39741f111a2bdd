/** Promise: a Nitro document with its chain cached costs at most 1.15 times one native P-384 verification; cold, 1.3 times its signature checks. */
import { appraiseNitroUnder } from '@cloister/verifier/nitro/appraise'
import { EndorsementCache } from '@cloister/verifier/result/endorsement-cache'
import { ANY_NITRO } from '@cloister/verifier/testing/any-expectation'
import { FakeAws } from '@cloister/verifier/testing/fake-aws'
import type { Figure } from './figure.ts'
import { cpuInTurns } from './figure.ts'
import { ecdsaCheck } from './support/native-checks.ts'

const NOW = new Date('2026-06-01')
/** Leaf by the instance, instance by the root, root by itself, document by the leaf. */
const COLD_CHECKS = 4

export async function run(): Promise<readonly Figure[]> {
  const aws = new FakeAws()
  const document = aws.document()
  const appraise = async (cache?: EndorsementCache) => {
    const options = { expect: ANY_NITRO, now: NOW, ...(cache === undefined ? {} : { cache }) }
    const { status } = await appraiseNitroUnder(aws.fingerprint, document, options)
    if (status !== 'affirming') throw new Error(`the document is ${status}`)
  }
  const { check, importAndCheck } = ecdsaCheck('P-384', 3000)
  const cache = new EndorsementCache()
  const [one, cached] = await cpuInTurns(check, () => appraise(cache))
  const [all, cold] = await cpuInTurns(
    () => Array.from({ length: COLD_CHECKS }, importAndCheck),
    () => appraise(),
  )
  const unit = 'µs CPU'
  return [
    {
      name: 'appraise a Nitro document, chain cached, against one P-384 verification',
      unit,
      floor: one,
      ours: cached,
      promise: 'at most 1.15 times',
      held: cached <= one * 1.15,
    },
    {
      name: 'appraise a Nitro document, cold, against its signature checks',
      unit,
      floor: all,
      ours: cold,
      promise: 'at most 1.3 times',
      held: cold <= all * 1.3,
    },
  ]
}

if (import.meta.main) for (const figure of await run()) console.log(figure)
