/**
 * `npm run fuzz`: mutates policies and inputs for `FUZZ_SECONDS` (default 20). Parsing, compiling, evaluating,
 * explaining and formatting must give a result or a RegoError, within limits. `FUZZ_SEED` repeats a run.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { check } from '../src/check/check.ts'
import { RegoError } from '../src/error.ts'
import { format } from '../src/format/format.ts'
import { compile, type EvaluateOptions, type Policy } from '../src/policy.ts'
import { stringify } from '../src/value.ts'

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 20)
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
console.log(`rego fuzz: seed ${seed}, ${seconds} s`)

/** A small generator, so that a seed repeats a run. */
let state = seed
function random(below: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
  return state % below
}

const folder = new URL('../test/policies/', import.meta.url)
const corpus = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'))
corpus.push(
  'package f\nx := [a | some a, b in {"k": {1, 2}}; every c in b { c > 0 }]\ny[k] := v if { some k, v in input }\nz := sprintf("%v %d", [x, 1])',
  'package f\nx := regex.replace(input.s, "(a|b)*c", "$1")\ny := walk(input)\nz := json.patch(input, [{"op": "add", "path": "/a", "value": 1}])\nw := yaml.unmarshal(input.s)',
)
const PIECES = [
  '{',
  '}',
  '[',
  ']',
  '(',
  ')',
  ' | ',
  ' := ',
  ' = ',
  ' if ',
  ' in ',
  'not ',
  'some ',
  'every ',
  ' with input as ',
  'input',
  'data',
  '"',
  '`',
  '_',
  '\n',
  ';',
  ',',
  '.',
  '1e400',
  '-',
  'x',
  'set()',
  'contains ',
  'else ',
  'default ',
  '$"{',
  'count(',
  'walk(',
  '\u0000',
  '\ud800',
]

function mutate(text: string): string {
  let result = text
  for (let edits = 1 + random(6); edits > 0; edits--) {
    const at = random(result.length + 1)
    const length = random(12)
    const other = corpus[random(corpus.length)] ?? ''
    const start = random(other.length + 1)
    const inserted =
      [PIECES[random(PIECES.length)] ?? '', other.slice(start, start + random(60)), ''][
        random(3)
      ] ?? ''
    result = result.slice(0, at) + inserted + result.slice(at + length)
  }
  return result
}

function randomInput(depth = 0): unknown {
  switch (random(depth > 3 ? 5 : 8)) {
    case 0:
      return null
    case 1:
      return random(2) === 0
    case 2:
      return random(1000) - 500
    case 3:
      return random(1000) / 7
    case 4:
      return ['', 'a', 'resource', '{"a": [1]}', '- x\n- &a y', '\ud800', 'ab'.repeat(50)][
        random(7)
      ]
    case 5:
      return Array.from({ length: random(4) }, () => randomInput(depth + 1))
    default:
      return Object.fromEntries(
        ['a', 's', 'submods', 'OCI', '__proto__']
          .slice(random(5))
          .map((key) => [key, randomInput(depth + 1)]),
      )
  }
}

const limits = { steps: 50_000, timeMs: 1000, memoryBytes: 16 * 1024 * 1024 }
const host = { query_reference_value: { arity: 1, call: () => null } }
const deadline = Date.now() + seconds * 1000
const codes = new Map<string, number>()
let rounds = 0
while (Date.now() < deadline) {
  rounds++
  const source = mutate(corpus[random(corpus.length)] ?? '')
  const version = random(2) === 0 ? 'v0' : 'v1'
  const start = Date.now()
  const ended = attempt(source, version)
  codes.set(ended, (codes.get(ended) ?? 0) + 1)
  if (Date.now() - start > 5000)
    throw new Error(`took ${Date.now() - start} ms: ${JSON.stringify(source)}`)
}
console.log(
  `rego fuzz: ${rounds} rounds: ${[...codes].map(([code, count]) => `${code} ${count}`).join(', ')}`,
)

function attempt(source: string, version: 'v0' | 'v1'): string {
  try {
    const policy = compile({
      modules: [{ file: 'fuzz.rego', source }],
      version,
      builtins: host,
      limits,
    })
    check(policy.modules)
    format('fuzz.rego', format('fuzz.rego', source, version), version)
    const options = {
      input: randomInput(),
      data: { plugin: 'resource' },
      now: 0n,
      strictBuiltinErrors: random(2) === 0,
    }
    const plain = outcome(policy, options)
    // The first rule that decides ends a plain evaluation; explaining looks at all and may meet more errors.
    const explained = random(4) === 0 ? outcome(policy, { ...options, explain: true }) : plain
    if (plain.startsWith('[') && explained.startsWith('[') && plain !== explained)
      throw new Error(`explained: ${explained}, plain: ${plain}`)
    if (plain.startsWith('rego.')) return plain
    return 'evaluated'
  } catch (error) {
    if (error instanceof RegoError && error.code !== 'rego.internal') return error.code
    console.log(JSON.stringify(source))
    throw error
  }
}

function outcome(policy: Policy, options: EvaluateOptions): string {
  try {
    return JSON.stringify(
      policy
        .evaluate('data', options)
        .result.map(({ expressions }) => expressions.map(({ value }) => stringify(value))),
    )
  } catch (error) {
    if (error instanceof RegoError && error.code !== 'rego.internal') return error.code
    throw error
  }
}
