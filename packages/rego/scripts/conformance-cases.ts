/** The YAML cases: what they say, how they are run, how results are compared. The vectors' INDEX has the schema. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fromJson, toJson } from '../src/json.ts'
import { compile, type EvaluateOptions } from '../src/policy.ts'
import { equal, isArray, RegoObject, RegoSet, stringify, type Value } from '../src/value.ts'
import { parseYaml } from '../src/encoding/yaml.ts'
import { outcome, type Outcome } from './outcome.ts'

const QUERY_VERSION = 'v0'

export function runInterpreterCases(folder: string, extra: EvaluateOptions): Outcome[] {
  return yamlFiles(folder).flatMap((file) =>
    casesOf(file).map((entry) =>
      outcome(`${relative(folder, file)}: ${text(entry, 'note')}`, () => runCase(entry, extra)),
    ),
  )
}

export function runAciCases(folder: string, extra: EvaluateOptions): Outcome[] {
  const file = join(folder, 'aci.yaml')
  if (!existsSync(file)) return []
  return casesOf(file).map((entry) =>
    outcome(`aci: ${text(entry, 'note')}`, () => runAciCase(folder, entry, extra)),
  )
}

function yamlFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => join(folder, name))
}

function casesOf(file: string): RegoObject[] {
  const document = parseYaml(readFileSync(file, 'utf8'))
  const cases = document instanceof RegoObject ? document.get('cases') : undefined
  if (cases === null || cases === undefined) return []
  return (cases as RegoObject[]).filter((entry) => entry.get('skip') !== true)
}

function text(entry: RegoObject, name: string): string {
  const value = entry.get(name)
  return typeof value === 'string' ? value : stringify(value ?? null)
}

interface Computed {
  readonly results: Value[]
  readonly prints: readonly string[]
}

function runCase(entry: RegoObject, extra: EvaluateOptions): string | undefined {
  const wantsError = entry.has('error')
  let computed: Computed
  try {
    computed = compute(entry, extra)
  } catch (error) {
    if (!isCoded(error)) throw error
    return wantsError ? undefined : `unexpected ${error.message}`
  }
  if (wantsError)
    return `expected the error ${stringify(entry.get('error') as Value)}, got ${computed.results.map(stringify).join(' ')}`
  if (entry.get('no_result') === true) return undefined
  const wanted = wantedResults(entry.get('want_result'))
  if (!equal(wanted, computed.results))
    return `wanted ${stringify(wanted)}, got ${stringify(computed.results)}`
  const prints = entry.get('want_prints')
  if (prints !== undefined && !equal(prints, [...computed.prints]))
    return `wanted the prints ${stringify(prints)}, got ${stringify([...computed.prints])}`
  return undefined
}

function isCoded(error: unknown): error is Error & { code: string } {
  return error instanceof Error && error.name === 'RegoError'
}

function compute(entry: RegoObject, extra: EvaluateOptions): Computed {
  const modules = ((entry.get('modules') ?? []) as readonly string[]).map((source, index) => ({
    file: `rego_${index}`,
    source,
  }))
  const policy = compile({ modules, version: QUERY_VERSION })
  const results: Value[] = []
  const prints: string[] = []
  for (const input of inputsOf(entry)) {
    const evaluation = policy.evaluate(text(entry, 'query'), {
      ...extra,
      ...(input === undefined ? {} : { input }),
      data: entry.get('data') ?? {},
      strictBuiltinErrors: entry.get('strict') !== false,
    })
    prints.push(...evaluation.prints)
    const lists = evaluation.result.map(({ expressions, bindings }) => ({
      bindings: fromJson(bindings),
      values: expressions.map(({ value }) => value),
    }))
    const [only] = lists
    for (const { bindings, values } of lists)
      if ((bindings as RegoObject).size > 0) results.push(bindings)
      else if (only !== undefined && lists.length === 1) results.push(...values)
      else results.push(values)
  }
  return { results, prints }
}

function inputsOf(entry: RegoObject): (Value | undefined)[] {
  const input = entry.get('input')
  const many = input instanceof RegoObject ? input.get('many!') : undefined
  return many !== undefined && isArray(many) ? [...many] : [input]
}

function wantedResults(wanted: Value | undefined): Value[] {
  if (wanted instanceof RegoObject && wanted.size === 1) {
    const many = wanted.get('many!')
    if (many !== undefined && isArray(many)) return many.map(expand)
  }
  return [expand(wanted ?? null)]
}

/** Turns the encodings of sets and of objects with any key into values. */
function expand(value: Value): Value {
  if (isArray(value)) return value.map(expand)
  if (!(value instanceof RegoObject)) return value
  const set = value.get('set!')
  if (value.size === 1 && set !== undefined && isArray(set)) return RegoSet.of(set.map(expand))
  const object = value.get('object!')
  if (value.size === 1 && object !== undefined && isArray(object))
    return RegoObject.of(
      (object as readonly RegoObject[]).map(
        (pair) => [expand(pair.get('key') as Value), expand(pair.get('value') as Value)] as const,
      ),
    )
  return RegoObject.of(
    [...value.entries()].map(([key, member]) => [expand(key), expand(member)] as const),
  )
}

function runAciCase(folder: string, entry: RegoObject, extra: EvaluateOptions): string | undefined {
  const modules = (entry.get('modules') as readonly string[]).map((module, index) =>
    module.trimEnd().endsWith('.rego')
      ? { file: module, source: readFileSync(join(folder, module.trim()), 'utf8') }
      : { file: `rego_${index}`, source: module },
  )
  const policy = compile({ modules, version: QUERY_VERSION })
  const { result } = policy.evaluate(text(entry, 'query'), {
    ...extra,
    input: entry.get('input') ?? {},
    data: entry.get('data') ?? {},
    strictBuiltinErrors: true,
  })
  const computed = fromJson(
    result[0] === undefined ? [] : toJson(result[0].expressions[0]?.value ?? []),
  )
  const wanted = entry.get('want_result') as Value
  const wrapped =
    hasShapeX(wanted) && !hasShapeX(computed) ? [RegoObject.of([['x', computed]])] : computed
  return equal(wanted, wrapped)
    ? undefined
    : `wanted ${stringify(wanted)}, got ${stringify(wrapped)}`
}

function hasShapeX(value: Value): boolean {
  return isArray(value) && value.every((item) => item instanceof RegoObject && item.has('x'))
}
