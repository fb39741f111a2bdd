/** Kata's recorded agent requests: each is evaluated against its generated policy and compared with its prints. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { toJson } from '../src/json.ts'
import { parseModule } from '../src/parse/module-parser.ts'
import { compile, type EvaluateOptions, type Policy } from '../src/policy.ts'
import { outcome, type Outcome } from './outcome.ts'

export function runKataRequests(folder: string, extra: EvaluateOptions): Outcome[] {
  if (!existsSync(folder)) return []
  const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  return [
    outcome('kata/large.rego', () => {
      parseModule('large.rego', readFileSync(join(folder, 'large.rego'), 'utf8'), 'v0')
      return undefined
    }),
    ...folders
      .map(({ name }) => name)
      .sort()
      .flatMap((name) => runFolder(join(folder, name), name, extra)),
  ]
}

function runFolder(folder: string, name: string, extra: EvaluateOptions): Outcome[] {
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8')
  const policy = compile({
    modules: [{ file: `${name}/policy.rego`, source: read('policy.rego') }],
    version: 'v0',
  })
  const outputs = JSON.parse(read('outputs.json')) as unknown[]
  const prints = JSON.parse(read('prints.json')) as string[][]
  const requests = read('inputs.txt')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseRequest)
  return requests.map(([endpoint, input], index) =>
    outcome(`kata/${name} ${index} ${endpoint}`, () => {
      const wanted = { output: outputs[index], prints: (prints[index] ?? []).map(withoutPath) }
      for (const _ of ['first', 'again']) {
        const failure = difference(request(policy, endpoint, { ...extra, input }), wanted)
        if (failure !== undefined) return failure
      }
      return undefined
    }),
  )
}

function parseRequest(line: string): [string, unknown] {
  return JSON.parse(line.trim().replace('"ep":', '').replace(/,$/, '')) as [string, unknown]
}

interface Decision {
  readonly output: unknown
  readonly prints: readonly string[]
}

function request(policy: Policy, endpoint: string, options: EvaluateOptions): Decision {
  const { result, prints } = policy.evaluate(`data.agent_policy.${endpoint}`, options)
  const value = result[0]?.expressions[0]?.value
  return {
    output: value === undefined ? undefined : toJson(value),
    prints: prints.map(withoutPath),
  }
}

function withoutPath(print: string): string {
  return print.slice(print.indexOf(':'))
}

function difference(computed: Decision, wanted: Decision): string | undefined {
  if (JSON.stringify(computed.output) !== JSON.stringify(wanted.output))
    return `wanted ${JSON.stringify(wanted.output)}, got ${JSON.stringify(computed.output)}; last print ${computed.prints.at(-1)}`
  const at = wanted.prints.findIndex((line, index) => computed.prints[index] !== line)
  if (at !== -1 || computed.prints.length !== wanted.prints.length)
    return `print ${at} of ${wanted.prints.length}: wanted ${wanted.prints[at]}, got ${computed.prints[at]} of ${computed.prints.length}`
  return undefined
}
