import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type DescMethod, type MessageInitShape } from '@bufbuild/protobuf'
import {
  AgentService,
  Health,
  KernelModuleSchema,
  StorageSchema,
} from '@cloister/protocol/agent-service_pb'
import { WorkloadSchema, type WorkloadInput } from '@cloister/protocol/workload'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'
import { bothPolicies, INITIAL_STATE, type PolicyState } from './agent-policy.ts'
import { kataInput } from './kata-input.ts'
import { agentPolicyOpenings } from './rego-module.ts'
import { AgentRules, regoPolicy } from './rego-policy.ts'
import { workloadPolicy } from './workload-policy.ts'

const { method } = AgentService
const DIGEST = `sha256:${'11'.repeat(32)}`
const INPUT: WorkloadInput = {
  version: 1,
  name: 'demo',
  revision: 1,
  broker: { url: 'https://broker', spki: ['00'.repeat(32)] },
  image: { reference: `r/i@${DIGEST}`, digest: DIGEST, registry: { target: 'registry' } },
  container: { id: 'demo', args: ['serve'], env: ['A=1'] },
  hostPolicy: { readStdout: true, exec: true },
}
const WORKLOAD = WorkloadSchema.parse(INPUT)

function ask<Method extends DescMethod>(
  source: string,
  of: Method,
  message: MessageInitShape<Method['input']>,
  state: PolicyState = INITIAL_STATE,
) {
  const request = { method: of, message: create(of.input, message) }
  return regoPolicy(source).decide(state, request)
}

const start = (body: string, state?: PolicyState) =>
  ask(`package agent_policy\n${body}`, method.startContainer, { containerId: 'demo' }, state)

test('the rule of the message decides: true allows, all else denies', () => {
  const CASES: readonly [string, boolean][] = [
    ['StartContainerRequest := true', true],
    ['StartContainerRequest { input.container_id == "demo" }', true],
    ['import rego.v1\nStartContainerRequest if input.container_id == "demo"', true],
    ['StartContainerRequest if { some id in ["demo"]; input.container_id == id }', true],
    ['StartContainerRequest := {"allowed": true}', true],
    ['StartContainerRequest := {"allowed": true, "ops": null}', true],
    ['StartContainerRequest { input.container_id == "other" }', false],
    ['StartContainerRequest := false', false],
    ['StartContainerRequest := {"allowed": false, "ops": []}', false],
    ['StartContainerRequest := {"allowed": "true"}', false],
    ['StartContainerRequest := {"allowed": true, "more": 1}', false],
    ['StartContainerRequest := "true"', false],
    ['StartContainerRequest := 1', false],
    ['StartContainer := true', false],
    ['default allow := true', false],
  ]
  for (const [body, allow] of CASES) assert.equal(start(body).allow, allow, body)
})

test('an evaluation that fails denies, also where denials pass', () => {
  const conflict = 'StartContainerRequest := x { x := [true, false][_] }'
  const endless = 'StartContainerRequest { count(numbers.range(1, 100000000)) > 0 }'
  for (const body of [conflict, endless, `AllowRequestsFailingPolicy := true\n${conflict}`])
    assert.throws(() => start(body), { name: 'RegoError' }, body)
})

test('AllowRequestsFailingPolicy passes what a policy denies, and nothing beyond the built-in policy', () => {
  const source = 'package agent_policy\ndefault AllowRequestsFailingPolicy := true'
  assert.equal(ask(source, method.startContainer, { containerId: 'demo' }).allow, true)
  const both = bothPolicies(workloadPolicy(WORKLOAD), regoPolicy(source))
  const request = { method: method.startContainer, message: create(method.startContainer.input) }
  assert.equal(both.decide(INITIAL_STATE, request).allow, false)
})

test('what Rego allows, the built-in policy still denies', () => {
  const rules = AgentService.methods.map(({ input }) => input.name)
  const open = [...new Set(rules)].map((name) => `${name} := true`).join('\n')
  const both = bothPolicies(
    workloadPolicy(WORKLOAD),
    regoPolicy(`package agent_policy\nSetPolicyRequest := true\n${open}`),
  )
  const decide = <Method extends DescMethod>(
    of: Method,
    message: MessageInitShape<Method['input']>,
  ) =>
    both.decide(
      { ...INITIAL_STATE, sandboxId: 'demo' },
      { method: of, message: create(of.input, message) },
    ).allow
  const wanted = create(method.createContainer.input, containerRequest(WORKLOAD))
  assert.equal(decide(method.createContainer, wanted), true)
  const storages = [create(StorageSchema, { driver: 'image_guest_pull', source: 'evil/image' })]
  assert.equal(decide(method.createContainer, { ...wanted, storages }), false)
  assert.equal(decide(method.createContainer, { ...wanted, containerId: 'other' }), false)
  assert.equal(decide(method.readStderr, { containerId: 'demo' }), false)
})

test('health is asked without a policy', () => {
  assert.equal(ask('package agent_policy', Health.method.check, {}).allow, true)
})

test('operations change the state of the policy, and nothing else', () => {
  const once = `StartContainerRequest := {"allowed": true, "ops": [op]} {
    not data.pstate.started[input.container_id]
    op := {"op": "add", "path": concat("/", ["/pstate/started", input.container_id]), "value": true}
  }`
  const state = { ...INITIAL_STATE, pstate: { started: {} } }
  const first = start(once, state)
  assert.deepEqual(first, { allow: true, statePatch: { pstate: { started: { demo: true } } } })
  assert.deepEqual(state.pstate, { started: {} })
  const after = { ...state, ...(first.allow ? first.statePatch : {}) }
  assert.equal(start(once, after).allow, false)
})

test('operations outside the state, or that do not apply, deny', () => {
  const path = ['', '/', '/agent_policy/StartContainerRequest', '/pstates', 'pstate/x']
  const ops = [
    ...path.map((at) => ({ op: 'add', path: at, value: {} })),
    { op: 'add', path: '/pstate', value: 'x' },
    { op: 'remove', path: '/pstate' },
    { op: 'remove', path: '/pstate/absent' },
    { op: 'copy', from: '/agent_policy', path: '/pstate/x' },
    { op: 'add', path: '/pstate/x', value: 'x'.repeat(1 << 20) },
    { path: '/pstate/x' },
  ]
  for (const op of ops) {
    const body = `StartContainerRequest := {"allowed": true, "ops": [${JSON.stringify(op)}]}`
    let isAllowed = false
    try {
      isAllowed = start(body).allow
    } catch {
      // An error denies.
    }
    assert.equal(isAllowed, false, JSON.stringify(op).slice(0, 80))
  }
})

test('a denial can be explained, with what the policy printed', () => {
  const denied = start('StartContainerRequest { print("looked"); input.container_id == "other" }')
  assert.ok(!denied.allow)
  const text = denied.explain?.() ?? ''
  assert.match(text, /looked/)
  assert.match(text, /input\.container_id = "demo"/)
})

test("requests have the shape of Kata's", () => {
  const container = create(method.createContainer.input, containerRequest(WORKLOAD))
  assert.deepEqual(kataInput(method.createContainer.input, container), {
    container_id: 'demo',
    exec_id: 'demo',
    string_user: null,
    devices: [],
    storages: [
      {
        driver: 'image_guest_pull',
        driver_options: [],
        source: `r/i@${DIGEST}`,
        fstype: 'overlay',
        options: [],
        mount_point: '',
        fs_group: null,
        shared: false,
      },
    ],
    OCI: {
      Version: '1.1.0',
      Process: {
        Terminal: false,
        ConsoleSize: null,
        User: { UID: 0, GID: 0, AdditionalGids: [], Username: '' },
        Args: ['serve'],
        Env: ['A=1'],
        Cwd: '',
        Capabilities: null,
        Rlimits: [],
        NoNewPrivileges: true,
        ApparmorProfile: '',
        OOMScoreAdj: 0,
        SelinuxLabel: '',
      },
      Root: { Path: '', Readonly: false },
      Hostname: 'demo',
      Mounts: [],
      Hooks: null,
      Annotations: { 'io.kubernetes.cri.image-name': `r/i@${DIGEST}` },
      Linux: null,
      Solaris: null,
      Windows: null,
    },
    sandbox_pidns: false,
    shared_mounts: [],
    stdin_port: null,
    stdout_port: null,
    stderr_port: null,
  })
  const sandbox = create(method.createSandbox.input, {
    ...sandboxRequest(WORKLOAD),
    kernelModules: [create(KernelModuleSchema, { name: 'x' })],
  })
  assert.deepEqual(kataInput(method.createSandbox.input, sandbox)['kernel_modules'], [
    { name: 'x', parameters: [] },
  ])
  const device = create(method.createContainer.input, { devices: [{ type: 'blk' }] })
  const [seen] = kataInput(method.createContainer.input, device)['devices'] as { type_: string }[]
  assert.equal(seen?.type_, 'blk')
  const stdin = create(method.writeStdin.input, { data: Buffer.from([1, 255]) })
  assert.deepEqual(kataInput(method.writeStdin.input, stdin)['data'], [1, 255])
})

test('openings are found in either version', () => {
  const codes = (body: string) =>
    agentPolicyOpenings(`package agent_policy\n${body}`).map(({ code }) => code)
  assert.deepEqual(codes('default AllowRequestsFailingPolicy := true'), ['allow-on-failure'])
  assert.deepEqual(codes('SetPolicyRequest { input.x }'), ['policy-replaceable'])
  assert.deepEqual(codes('ExecProcessRequest if { true }\nx if { 1 in [1] }'), ['allow-by-default'])
  assert.deepEqual(codes('StartContainerRequest := true'), [])
})

test('a policy has no state of its own between evaluations', () => {
  const rules = new AgentRules('package agent_policy\nStartContainerRequest { not data.pstate.x }')
  assert.equal(rules.decide('StartContainerRequest', {}, { x: true }).allow, false)
  assert.equal(rules.decide('StartContainerRequest', {}, {}).allow, true)
})
