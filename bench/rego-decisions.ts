/** Rego: a decision of a default resource policy, of an agent policy of 500 rules, its compilation and its memory. */
import { readFileSync } from 'node:fs'
import { compile, type Policy } from '@cloister/rego'
import { medianMs, type Figure } from './figure.ts'

const RULES = 500
const INPUT_BYTES = 50_000

/** An agent policy: entry points, a check for each of many containers, and helpers, 500 rules in all. */
export function agentPolicy(): string {
  const rules = [
    'package agent_policy',
    'default CreateContainerRequest := false',
    'CreateContainerRequest if { some id; container(id) }',
  ]
  rules.push(
    'env_ok(allowed) if { every variable in input.OCI.Process.Env { some pattern in allowed; regex.match(pattern, variable) } }',
    'mounts_ok(allowed) if { every mount in input.OCI.Mounts { allowed[mount.destination] == mount.type_ } }',
  )
  for (let n = 0; rules.length <= RULES; n++)
    rules.push(
      `container(${n}) if { input.OCI.Annotations["name"] == "c${n}"; input.OCI.Process.Args == ["/bin/s${n}"]; env_ok(["^A[0-9]+=[a-z]*$"]); mounts_ok({"/proc": "proc", "/data": "ext4"}) }`,
    )
  // A function cannot be asked for all its arguments, so the checks form one set.
  return rules
    .join('\n')
    .replaceAll(/^container\((\d+)\) if/gm, 'container contains $1 if')
    .replace('some id; container(id)', 'container[_]')
}

export function agentInput(): object {
  const env = Array.from({ length: 720 }, (_, n) => `A${n}=${'abcdefgh'.repeat(7)}`)
  const mounts = Array.from({ length: 60 }, (_, n) => ({
    destination: n % 2 === 0 ? '/proc' : '/data',
    type_: n % 2 === 0 ? 'proc' : 'ext4',
    options: ['ro'],
  }))
  const input = {
    OCI: {
      Annotations: { name: 'c400' },
      Process: { Args: ['/bin/s400'], Env: env },
      Mounts: mounts,
    },
  }
  const size = JSON.stringify(input).length
  if (size < INPUT_BYTES * 0.9 || size > INPUT_BYTES * 1.2)
    throw new Error(`the input has ${size} bytes`)
  return input
}

function resourceFigure(): Figure {
  const file = new URL('../packages/rego/test/policies/resource-default.rego', import.meta.url)
  const policy = compile({
    modules: [{ file: 'resource-default.rego', source: readFileSync(file, 'utf8') }],
  })
  const claims = {
    submods: {
      cpu0: {
        'ear.status': 'affirming',
        'ear.veraison.annotated-evidence': { snp: { measurement: 'a', reported_tcb_snp: 20 } },
      },
    },
  }
  const data = { plugin: 'resource', 'resource-path': ['default', 'key', '1'], query: {} }
  const decide = (): unknown => policy.decide('data.policy.allow', { input: claims, data })
  if (decide() !== true) throw new Error('the policy refuses')
  const ours = medianMs(decide, { callsPerBatch: 500 }) * 1000
  return {
    name: 'Rego: default resource policy, one decision',
    unit: 'us',
    floor: 0,
    ours,
    promise: 'under 50 us',
    held: ours < 50,
  }
}

function agentFigures(): Figure[] {
  const source = agentPolicy()
  const build = (): Policy => compile({ modules: [{ file: 'agent.rego', source }] })
  const policy = build()
  const input = agentInput()
  const decide = (): unknown => policy.decide('data.agent_policy.CreateContainerRequest', { input })
  if (decide() !== true) throw new Error('the policy refuses')
  const decision = medianMs(decide)
  const compilation = medianMs(build, { callsPerBatch: 2 })
  const promises = [
    {
      name: 'Rego: agent policy of 500 rules, 50 kB input, one decision',
      ours: decision,
      limit: 2,
    },
    { name: 'Rego: compile that policy', ours: compilation, limit: 100 },
  ]
  return promises.map(({ name, ours, limit }) => ({
    name,
    unit: 'ms',
    floor: 0,
    ours,
    promise: `under ${limit} ms`,
    held: ours < limit,
  }))
}

function memoryFigure(): Figure {
  const collect = (globalThis as { gc?: () => void }).gc
  const source = agentPolicy()
  const kept: Policy[] = []
  collect?.()
  const before = process.memoryUsage().heapUsed
  for (let copy = 0; copy < 10; copy++)
    kept.push(compile({ modules: [{ file: `agent-${copy}.rego`, source }] }))
  collect?.()
  const ours = (process.memoryUsage().heapUsed - before) / kept.length / 1024
  const name =
    collect === undefined
      ? 'Rego: memory of that policy compiled (garbage included: run with --expose-gc)'
      : 'Rego: memory of that policy compiled'
  return { name, unit: 'KiB', floor: 0, ours, promise: 'stated only', held: true }
}

export function run(): Promise<readonly Figure[]> {
  return Promise.resolve([resourceFigure(), ...agentFigures(), memoryFigure()])
}

if (import.meta.main)
  for (const { name, unit, ours, promise, held } of await run())
    console.log(`${name}: ${ours.toFixed(3)} ${unit} (${promise}${held ? '' : ', NOT HELD'})`)
