/** Policies like those that Trustee and Kata ship, with the decisions that their documentation describes. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { compile, type CompileOptions, type Policy } from '../src/policy.ts'

function load(name: string, options: Partial<CompileOptions> = {}): Policy {
  const source = readFileSync(new URL(`policies/${name}`, import.meta.url), 'utf8')
  return compile({ modules: [{ file: name, source }], ...options })
}

const resource = { plugin: 'resource', 'resource-path': ['default', 'key', '1'], query: {} }
const evidence = (claims: object) => ({
  submods: { cpu0: { 'ear.status': 'affirming', 'ear.veraison.annotated-evidence': claims } },
})

test('the default resource policy refuses samples and other plugins', () => {
  const policy = load('resource-default.rego')
  const decide = (input: object, data: object) =>
    policy.decide('data.policy.allow', { input, data })
  assert.equal(decide(evidence({ snp: {} }), resource), true)
  assert.equal(decide(evidence({ sample: {} }), resource), false)
  assert.equal(decide(evidence({ snp: {} }), { ...resource, plugin: 'nebula' }), false)
  assert.equal(decide(evidence({ snp: {} }), {}), false)
})

test('the affirming policy wants every part, and at least one', () => {
  const policy = load('resource-affirming.rego')
  const decide = (submods: object) =>
    policy.decide('data.policy.allow', { input: { submods }, data: resource })
  assert.equal(
    decide({ cpu0: { 'ear.status': 'affirming' }, gpu0: { 'ear.status': 'affirming' } }),
    true,
  )
  assert.equal(
    decide({ cpu0: { 'ear.status': 'affirming' }, gpu0: { 'ear.status': 'warning' } }),
    false,
  )
  assert.equal(decide({}), false)
})

test('allow-all looks at the plugin only; deny-all never allows', () => {
  assert.equal(
    load('resource-allow-all.rego').decide('data.policy.allow', { input: {}, data: resource }),
    true,
  )
  assert.equal(
    load('resource-deny-all.rego').decide('data.policy.allow', { input: {}, data: resource }),
    false,
  )
})

const REFERENCE_VALUES: Record<string, unknown> = {
  svn: [1, 2],
  major_version: 1,
  minimum_minor_version: 2,
  launch_digest: ['abcde'],
  snp_launch_measurement: ['m1'],
  snp_bootloader: [3],
  snp_microcode: [209],
  snp_snp_svn: [20],
  snp_tee_svn: [0],
  snp_smt_enabled: true,
  snp_tsme_enabled: false,
}
const host = {
  query_reference_value: { arity: 1, call: (id: unknown) => REFERENCE_VALUES[String(id)] ?? null },
}
const snp = {
  reported_tcb_bootloader: 3,
  reported_tcb_microcode: 209,
  reported_tcb_snp: 20,
  reported_tcb_tee: 0,
  measurement: 'm1',
  policy_debug_allowed: false,
  policy_migrate_ma: false,
  platform_smt_enabled: true,
  platform_tsme_enabled: false,
}

function claims(input: object): Record<string, number> {
  const policy = load('attestation-cpu.rego', { builtins: host })
  return policy.decide('data.policy.trust_claims', { input }) as Record<string, number>
}

test('the CPU policy gives claims by Reference Values', () => {
  const good = claims({ snp })
  assert.deepEqual([good['hardware'], good['executables'], good['configuration']], [2, 3, 2])
  const otherSmt = claims({ snp: { ...snp, platform_smt_enabled: false } })
  assert.equal(otherSmt['configuration'], 3)
  const debug = claims({
    snp: { ...snp, policy_debug_allowed: true, measurement: 'm2', reported_tcb_snp: 19 },
  })
  assert.deepEqual([debug['hardware'], debug['executables'], debug['configuration']], [97, 33, 36])
  assert.equal(claims({ sgx: {} })['hardware'], 97)
})

test('the CPU policy names container images only when there are any', () => {
  const policy = load('attestation-cpu.rego', { builtins: host })
  const containers = [{ OCI: { Annotations: { 'io.kubernetes.cri.image-name': 'r/i@sha256:1' } } }]
  const input = { init_data_claims: { agent_policy_claims: { containers } } }
  assert.deepEqual(policy.decide('data.policy.extensions', { input }), [
    {
      name: 'ear.trustee.identifiers.validated',
      key: -18000,
      value: { container_images: ['r/i@sha256:1'] },
    },
  ])
  assert.equal(policy.decide('data.policy.extensions', { input: {} }), undefined)
})

const create = {
  container_id: 'c1',
  shared_mounts: [],
  OCI: {
    Hooks: null,
    Root: { Readonly: true },
    Process: { Args: ['/bin/server', '--port', '8080'], Env: ['PATH=/bin', 'HOSTNAME=pod-1'] },
    Mounts: [{ destination: '/proc', type_: 'proc' }],
  },
}
const agent = () => load('agent-confidential.rego', { version: 'v0' })
const ask = (request: string, input: object, pstate: object = {}) =>
  agent().decide(`data.agent_policy.${request}`, { input, data: { pstate } })

test('the agent policy lets the described container be created and binds its id', () => {
  assert.deepEqual(ask('CreateContainerRequest', create), {
    allowed: true,
    ops: [{ op: 'add', path: '/pstate/c1', value: 0 }],
  })
  assert.deepEqual(ask('CreateContainerRequest', create, { c1: 0 }), { allowed: false })
})

for (const [what, change] of Object.entries({
  'other arguments': { Process: { ...create.OCI.Process, Args: ['/bin/sh'] } },
  'another variable': { Process: { ...create.OCI.Process, Env: ['LD_PRELOAD=/evil.so'] } },
  'a variable that only contains an allowed one': {
    Process: { ...create.OCI.Process, Env: ['X=1\nHOSTNAME=a'] },
  },
  'a writable root': { Root: { Readonly: false } },
  'a mount over the root': { Mounts: [{ destination: '/', type_: 'tmpfs' }] },
  hooks: { Hooks: { Prestart: [] } },
}))
  test(`the agent policy refuses ${what}`, () => {
    const input = { ...create, OCI: { ...create.OCI, ...change } }
    assert.deepEqual(ask('CreateContainerRequest', input), { allowed: false })
  })

test('the agent policy refuses what it does not name', () => {
  assert.equal(ask('SetPolicyRequest', {}), false)
  assert.equal(ask('StartContainerRequest', {}), true)
  assert.equal(ask('NoSuchRequest', {}), undefined)
  const probe = { container_id: 'c1', process: { Args: ['/bin/probe', '--live'] } }
  assert.equal(ask('ExecProcessRequest', probe, { c1: 0 }), true)
  assert.equal(ask('ExecProcessRequest', probe), false)
  assert.equal(ask('ExecProcessRequest', { ...probe, process: { Args: ['sh'] } }, { c1: 0 }), false)
  const path = `/run/kata-containers/shared/containers/${'a'.repeat(64)}-${'0'.repeat(16)}-resolv.conf`
  assert.equal(ask('CopyFileRequest', { path }), true)
  assert.equal(ask('CopyFileRequest', { path: `${path}/../../etc/passwd` }), false)
})
