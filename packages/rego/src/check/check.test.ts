import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RegoVersion } from '../ast.ts'
import { parseModule } from '../parse/module-parser.ts'
import { check } from './check.ts'

function findings(source: string, version: RegoVersion = 'v1'): string[] {
  return check([parseModule('m', source, version)]).map(({ code, name }) => `${code} ${name}`)
}

const CASES: readonly [string, string[]][] = [
  ['import data.a\nimport data.b\nx := b.c', ['unused-import a']],
  ['x if { y := 1; z := 2; z > 1 }', ['unused-variable y']],
  ['x if { y := 1; y > 0 }\ny := 2', ['shadowed-rule y']],
  ['import data.q\nx := q if { q := 1; q > 0 }', ['shadowed-import q']],
  ['x if { count := 1; count > 0 }', ['shadowed-builtin count']],
  ['default allow := true', ['allow-by-default p.allow']],
  ['allow := true', ['allow-by-default p.allow']],
  ['allow if { true }', ['allow-by-default p.allow']],
  ['default allow := false\nallow if input.a', []],
]
for (const [source, wanted] of CASES)
  test(`check() of ${JSON.stringify(source)}`, () =>
    assert.deepEqual(findings(`package p\n${source}`), wanted))

const AGENT: readonly [string, string[]][] = [
  ['default AllowRequestsFailingPolicy := false\ndefault SetPolicyRequest := false', []],
  [
    'default AllowRequestsFailingPolicy := true',
    ['allow-on-failure agent_policy.AllowRequestsFailingPolicy'],
  ],
  [
    'AllowRequestsFailingPolicy { input.x }',
    ['allow-on-failure agent_policy.AllowRequestsFailingPolicy'],
  ],
  ['SetPolicyRequest { input.ok }', ['policy-replaceable agent_policy.SetPolicyRequest']],
  [
    'SetPolicyRequest = false { true } else = true { true }',
    ['policy-replaceable agent_policy.SetPolicyRequest'],
  ],
  ['default ExecProcessRequest := true', ['allow-by-default agent_policy.ExecProcessRequest']],
  [
    'CreateContainerRequest = {"allowed": true}',
    ['allow-by-default agent_policy.CreateContainerRequest'],
  ],
  ['default StartContainerRequest := true', []],
]
for (const [source, wanted] of AGENT)
  test(`openings of ${JSON.stringify(source)}`, () =>
    assert.deepEqual(findings(`package agent_policy\n${source}`, 'v0'), wanted))
