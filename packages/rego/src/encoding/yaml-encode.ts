/** YAML text of a value, laid out as Go's library does: block style, keys sorted. */
import { formatNumber } from '../number.ts'
import { isArray, RegoObject, RegoSet, type Value } from '../value.ts'
import { encodeJson } from '../json.ts'
import { resolvePlain } from './yaml.ts'

export function encodeYaml(value: Value): string {
  return isCollection(value) && !isEmpty(value)
    ? `${block(value, '').join('\n')}\n`
    : `${scalar(value)}\n`
}

type Collection = readonly Value[] | RegoSet | RegoObject

function isCollection(value: Value): value is Collection {
  return typeof value === 'object' && value !== null
}

function isEmpty(value: Collection): boolean {
  return isArray(value) ? value.length === 0 : value.size === 0
}

function block(value: Collection, margin: string): string[] {
  if (value instanceof RegoObject)
    return Array.from(value.entries()).flatMap(([key, member]) =>
      entry(`${margin}${keyText(key)}:`, member, margin),
    )
  const items = isArray(value) ? value : value.sorted()
  return items.flatMap((item) => {
    if (!isCollection(item) || isEmpty(item)) return scalarLines(`${margin}- `, item, `${margin}  `)
    const [first = '', ...rest] = block(item, `${margin}  `)
    return [`${margin}- ${first.slice(margin.length + 2)}`, ...rest]
  })
}

function entry(head: string, value: Value, margin: string): string[] {
  if (!isCollection(value) || isEmpty(value)) return scalarLines(`${head} `, value, `${margin}  `)
  // A list stands in the column of its key.
  return [head, ...block(value, value instanceof RegoObject ? `${margin}  ` : margin)]
}

function keyText(key: Value): string {
  return typeof key === 'string' ? scalar(key) : scalar(encodeJson(key))
}

function scalarLines(head: string, value: Value, margin: string): string[] {
  if (
    typeof value !== 'string' ||
    !value.includes('\n') ||
    /[^\x20-\x7e\n]|^[\s]|[ \t]\n/.test(value)
  )
    return [head + scalar(value)]
  const chomp = value.endsWith('\n\n') || value === '\n' ? '+' : value.endsWith('\n') ? '' : '-'
  const lines = (chomp === '-' ? value : value.slice(0, -1)).split('\n')
  return [`${head}|${chomp}`, ...lines.map((line) => (line === '' ? '' : margin + line))]
}

function scalar(value: Value): string {
  if (typeof value === 'string') return textScalar(value)
  if (typeof value === 'number' || typeof value === 'bigint') return formatNumber(value)
  if (value === null || typeof value === 'boolean') return String(value)
  return value instanceof RegoObject ? '{}' : '[]'
}

/** Words that YAML 1.1 reads as something else than text. */
const AMBIGUOUS = /^(?:y|Y|n|N|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|~|null|true|false)$/

function textScalar(text: string): string {
  if (/[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/.test(text)) return JSON.stringify(text)
  const isPlain =
    text !== '' &&
    !AMBIGUOUS.test(text) &&
    resolvePlain(text) === text &&
    !/^[\s\-?:,[\]{}#&*!|>'"%@`]|^[-?:](?=\s|$)|\s$|: |:$| #/.test(text)
  if (
    isPlain ||
    (/^-[^\s-]/.test(text) && resolvePlain(text) === text && !/: |:$| #|\s$/.test(text))
  )
    return text
  return resolvePlain(text) !== text || AMBIGUOUS.test(text) || text === ''
    ? `"${text}"`
    : `'${text.replaceAll("'", "''")}'`
}
