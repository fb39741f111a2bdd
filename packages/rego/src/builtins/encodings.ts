/** Base64, hexadecimal, URL queries, JSON and YAML. */
import {
  decodeBase64,
  decodeHex,
  encodeBase64,
  encodeHex,
  fromUtf8,
  utf8,
  type Base64Form,
} from '../encoding/base64.ts'
import { encodeYaml } from '../encoding/yaml-encode.ts'
import { parseYaml, YamlError } from '../encoding/yaml.ts'
import { encodeJson, parseJson } from '../json.ts'
import { isArray, RegoObject, RegoSet, type Value } from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

const STANDARD: Base64Form = { url: false, padding: 'required' }
const URL_PADDED: Base64Form = { url: true, padding: 'optional' }
const URL_BARE: Base64Form = { url: true, padding: 'none' }

function onString(change: (text: string, context: BuiltinContext) => Value): Builtin {
  return {
    arity: 1,
    call: (args, context) => {
      const text = operand.string(args, 0)
      context.step(text.length >> 6)
      return change(text, context)
    },
  }
}

function refuseUndefined<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new BuiltinError(`the text is not ${what}`)
  return value
}

function decodeText(text: string, form: Base64Form): string {
  return fromUtf8(refuseUndefined(decodeBase64(text, form), 'base64'))
}

/** Characters that Go's `QueryEscape` leaves alone are these; a space becomes `+`. */
function queryEscape(text: string): string {
  let result = ''
  for (const byte of utf8(text)) {
    const char = String.fromCharCode(byte)
    if (/[A-Za-z0-9_.~-]/.test(char)) result += char
    else result += char === ' ' ? '+' : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return result
}

function queryUnescape(text: string): string {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw new BuiltinError('invalid URL escape')
  const bytes: number[] = []
  const raw = utf8(text)
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at] as number
    if (byte === 0x2b) bytes.push(0x20)
    else if (byte !== 0x25) bytes.push(byte)
    else {
      bytes.push(Number.parseInt(String.fromCharCode(raw[at + 1] ?? 0, raw[at + 2] ?? 0), 16))
      at += 2
    }
  }
  return fromUtf8(Uint8Array.from(bytes))
}

function encodeObject(args: readonly Value[]): Value {
  const pairs: string[] = []
  for (const [key, value] of operand.object(args, 0).entries()) {
    const values =
      typeof value === 'string'
        ? [value]
        : isArray(value)
          ? value
          : value instanceof RegoSet
            ? value.sorted()
            : undefined
    if (typeof key !== 'string' || values === undefined)
      throw new BuiltinError(
        'operand 1 must be object of strings to strings or collections of them',
      )
    for (const item of values) {
      if (typeof item !== 'string') throw new BuiltinError('operand 1 values must be strings')
      pairs.push(`${queryEscape(key)}=${queryEscape(item)}`)
    }
  }
  return pairs.join('&')
}

function decodeObject(text: string): Value {
  const gathered = new Map<string, string[]>()
  for (const pair of text.split('&')) {
    if (pair === '') continue
    if (pair.includes(';')) throw new BuiltinError('invalid semicolon separator in query')
    const equals = pair.indexOf('=')
    const key = queryUnescape(equals === -1 ? pair : pair.slice(0, equals))
    const value = equals === -1 ? '' : queryUnescape(pair.slice(equals + 1))
    gathered.set(key, [...(gathered.get(key) ?? []), value])
  }
  return RegoObject.of(gathered)
}

function isValidJson(args: readonly Value[]): boolean {
  return typeof args[0] === 'string' && parseJson(args[0]) !== undefined
}

function marshalWithOptions(args: readonly Value[]): Value {
  const options = operand.object(args, 1)
  const known = new Set<Value>(['indent', 'prefix', 'pretty'])
  for (const key of options.keys()) if (!known.has(key)) throw new BuiltinError('unknown option')
  const indent = options.get('indent')
  const prefix = options.get('prefix')
  const pretty = options.get('pretty') ?? (indent !== undefined || prefix !== undefined)
  if (typeof pretty !== 'boolean') throw new BuiltinError('option pretty must be boolean')
  for (const option of [indent, prefix])
    if (option !== undefined && typeof option !== 'string')
      throw new BuiltinError('options must be strings')
  const margin = pretty ? ((prefix as string | undefined) ?? '') : ''
  return (
    margin +
    encodeJson(operand.value(args, 0), {
      pretty,
      html: true,
      prefix: margin,
      indent:
        margin === ''
          ? ((indent as string | undefined) ?? '\t')
          : ((indent as string | undefined) ?? '\t'),
    })
  )
}

function unmarshalYaml(text: string, context: BuiltinContext): Value {
  try {
    return parseYaml(text, (nodes) => {
      context.step(nodes)
      context.charge(32 * nodes)
    })
  } catch (error) {
    if (error instanceof YamlError) throw new BuiltinError(error.message)
    throw error
  }
}

function isValidYaml(args: readonly Value[], context: BuiltinContext): boolean {
  if (typeof args[0] !== 'string') return false
  try {
    unmarshalYaml(args[0], context)
    return true
  } catch (error) {
    if (error instanceof BuiltinError) return false
    throw error
  }
}

export const ENCODINGS: Readonly<Record<string, Builtin>> = {
  'base64.encode': onString((text) => encodeBase64(utf8(text), STANDARD)),
  'base64.decode': onString((text) => decodeText(text, STANDARD)),
  'base64.is_valid': {
    arity: 1,
    call: (args) => typeof args[0] === 'string' && decodeBase64(args[0], STANDARD) !== undefined,
  },
  'base64url.encode': onString((text) =>
    encodeBase64(utf8(text), { url: true, padding: 'required' }),
  ),
  'base64url.encode_no_pad': onString((text) => encodeBase64(utf8(text), URL_BARE)),
  'base64url.decode': onString((text) => decodeText(text, URL_PADDED)),
  'hex.encode': onString((text) => encodeHex(utf8(text))),
  'hex.decode': onString((text) => fromUtf8(refuseUndefined(decodeHex(text), 'hexadecimal'))),
  'urlquery.encode': onString(queryEscape),
  'urlquery.decode': onString(queryUnescape),
  'urlquery.encode_object': { arity: 1, call: encodeObject },
  'urlquery.decode_object': onString(decodeObject),
  'json.marshal': { arity: 1, call: (args) => encodeJson(operand.value(args, 0), { html: true }) },
  'json.marshal_with_options': { arity: 2, call: marshalWithOptions },
  'json.unmarshal': onString((text) => refuseUndefined(parseJson(text), 'JSON')),
  'json.is_valid': { arity: 1, call: isValidJson },
  'yaml.marshal': { arity: 1, call: (args) => encodeYaml(operand.value(args, 0)) },
  'yaml.unmarshal': onString(unmarshalYaml),
  'yaml.is_valid': { arity: 1, call: isValidYaml },
}
