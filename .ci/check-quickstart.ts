/** Checks what `quickstart -o json` promises. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

interface Quickstart {
  trust: string
  launchDigest: string
  measured: string
  attestations: number
  attacks: { name: string; refused: boolean; code: string }[]
  stages: { name: string; seconds: number }[]
}

const result = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Quickstart
assert.equal(result.trust, 'simulated')
assert.match(result.launchDigest, /^[0-9a-f]{96}$/)
assert.equal(result.launchDigest, result.measured)
assert.equal(result.attestations, 1)
assert.ok(result.attacks.length >= 8, `${result.attacks.length} attacks`)
for (const attack of result.attacks) {
  assert.equal(attack.refused, true, attack.name)
  assert.match(attack.code, /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/, attack.name)
}
assert.ok(result.stages.length > 0)
console.log(
  `quickstart: ${result.attacks.length} attacks refused, ${result.stages.reduce((sum, stage) => sum + stage.seconds, 0).toFixed(0)} s`,
)
