import assert from 'node:assert/strict'
import { registerHooks } from 'node:module'
import { test } from 'node:test'
import { initdataOf } from '@cloister/protocol/initdata'
import { WorkloadSchema, type WorkloadInput } from '@cloister/protocol/workload'

const DIGEST = `sha256:${'11'.repeat(32)}`
const INPUT: WorkloadInput = {
  version: 1,
  name: 'demo',
  revision: 1,
  broker: { url: 'https://broker', spki: ['00'.repeat(32)] },
  image: { reference: `r/i@${DIGEST}`, digest: DIGEST, registry: { target: 'registry' } },
  container: { id: 'demo' },
}

test('the engine is loaded for a policy in Rego only', async () => {
  let loaded = 0
  const hooks = registerHooks({
    load(url, context, next) {
      if (url.includes('/packages/rego/')) loaded++
      return next(url, context)
    },
  })
  const { policyOf } = await import('./initdata-policy.ts')
  const workload = WorkloadSchema.parse(INPUT)
  await policyOf(initdataOf(INPUT), workload)
  assert.equal(loaded, 0)
  await policyOf(initdataOf(INPUT, 'package agent_policy'), workload)
  assert.ok(loaded > 0)
  hooks.deregister()
})
