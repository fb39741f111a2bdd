/** Policies that Kata's generator wrote, with the requests of real pods and what Kata's agent answered. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { AgentRules } from './rego-policy.ts'

const root = resolve(import.meta.dirname, '../../../..')
const folder = join(
  process.env['CLOISTER_VECTORS'] ?? resolve(root, '../shared/vectors'),
  'rego/kata',
)
const skip = existsSync(folder) ? false : `no vectors at ${folder}`
const policies = skip === false ? readdirSync(folder, { withFileTypes: true }) : []

test('vectors of Kata', { skip }, () => assert.ok(policies.length > 0))

for (const { name } of policies.filter((entry) => entry.isDirectory()))
  test(`the policy ${name} decides as in Kata's agent`, () => {
    const read = (file: string) => readFileSync(join(folder, name, file), 'utf8')
    const rules = new AgentRules(read('policy.rego'))
    const expected = JSON.parse(read('outputs.json')) as boolean[]
    const requests = read('inputs.txt')
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => JSON.parse(line.replace('"ep":', '').replace(/,\s*$/, '')) as [string, object])
    const decisions = requests.map(([rule, input]) => rules.decide(rule, input, {}).allow)
    assert.deepEqual(decisions, expected)
  })
