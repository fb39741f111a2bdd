/** `net.cidr_*`: addresses and networks of IPv4 and IPv6. Nothing here touches a network. */
import { isArray, RegoObject, RegoSet, type Value } from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

interface Network {
  readonly bits: 32 | 128
  readonly address: bigint
  readonly prefix: number
}

function parseV4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  let address = 0n
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined
    address = (address << 8n) | BigInt(part)
  }
  return address
}

function parseV6(text: string): bigint | undefined {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  if (dotted !== null) {
    const v4 = parseV4(dotted[2] ?? '')
    if (v4 === undefined) return undefined
    return parseV6(`${dotted[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`)
  }
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  let address = 0n
  for (const group of [...head, ...Array<string>(missing).fill('0'), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined
    address = (address << 16n) | BigInt(`0x${group}`)
  }
  return address
}

function parseAddress(text: string): Network | undefined {
  const v4 = parseV4(text)
  if (v4 !== undefined) return { bits: 32, address: v4, prefix: 32 }
  const v6 = text.includes(':') ? parseV6(text) : undefined
  if (v6 === undefined) return undefined
  // An IPv4 address in IPv6 clothes is that IPv4 address.
  if (v6 >> 32n === 0xffffn) return { bits: 32, address: v6 & 0xffffffffn, prefix: 32 }
  return { bits: 128, address: v6, prefix: 128 }
}

function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf('/')
  if (slash === -1) return undefined
  const address = parseAddress(text.slice(0, slash))
  const length = text.slice(slash + 1)
  if (
    address === undefined ||
    !/^(?:0|[1-9]\d{0,2})$/.test(length) ||
    Number(length) > address.bits
  )
    return undefined
  const prefix = Number(length)
  const shift = BigInt(address.bits - prefix)
  return { ...address, address: (address.address >> shift) << shift, prefix }
}

function anyOf(text: string): Network {
  const network = text.includes('/') ? parseNetwork(text) : parseAddress(text)
  if (network === undefined)
    throw new BuiltinError(
      `not a valid textual representation of an IP address or CIDR: ${text.slice(0, 60)}`,
    )
  return network
}

function contains(outer: Network, inner: Network): boolean {
  if (outer.bits !== inner.bits || inner.prefix < outer.prefix) return false
  const shift = BigInt(outer.bits - outer.prefix)
  return outer.address >> shift === inner.address >> shift
}

function network(args: readonly Value[], at: number): Network {
  const text = operand.string(args, at)
  const parsed = parseNetwork(text)
  if (parsed === undefined) throw new BuiltinError(`invalid CIDR address: ${text.slice(0, 60)}`)
  return parsed
}

function formatAddress({ bits, address }: Pick<Network, 'bits' | 'address'>): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (address >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, at) =>
    Number((address >> BigInt(112 - 16 * at)) & 0xffffn),
  )
  let [best, length] = [-1, 1]
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > length) [best, length] = [start, end - start]
  }
  const text = (list: readonly number[]): string =>
    list.map((group) => group.toString(16)).join(':')
  return best === -1
    ? text(groups)
    : `${text(groups.slice(0, best))}::${text(groups.slice(best + length))}`
}

function expand(args: readonly Value[], context: BuiltinContext): Value {
  const { bits, address, prefix } = network(args, 0)
  const count = 1n << BigInt(bits - prefix)
  const addresses: string[] = []
  for (let at = 0n; at < count; at++) {
    context.step()
    context.charge(96)
    addresses.push(formatAddress({ bits, address: address + at }))
  }
  return RegoSet.of(addresses)
}

/** The texts to compare in an argument, each with the key that results name it by. */
function candidates(value: Value): [Value, string][] {
  if (typeof value === 'string') return [[value, value]]
  const textOf = (item: Value): string => {
    const text = typeof item === 'object' && item !== null && isArray(item) ? item[0] : item
    if (typeof text !== 'string')
      throw new BuiltinError('operands must be strings or arrays that start with one')
    return text
  }
  if (value instanceof RegoObject)
    return Array.from(value.entries(), ([key, item]) => [key, textOf(item)])
  if (value instanceof RegoSet) return value.sorted().map((item) => [item, textOf(item)])
  if (typeof value === 'object' && value !== null && isArray(value))
    return value.map((item, at) => [at, textOf(item)])
  throw new BuiltinError('operands must be strings or collections')
}

function containsMatches(args: readonly Value[], context: BuiltinContext): Value {
  const found: Value[] = []
  const inner = candidates(operand.value(args, 1)).map(([key, text]) => [key, anyOf(text)] as const)
  for (const [outerKey, text] of candidates(operand.value(args, 0))) {
    const outer = anyOf(text)
    for (const [innerKey, other] of inner) {
      context.step()
      if (contains(outer, other)) found.push([outerKey, innerKey])
    }
  }
  return RegoSet.of(found)
}

/** The fewest networks that cover exactly the same addresses. */
function merge(args: readonly Value[], context: BuiltinContext): Value {
  const networks = operand.strings(args, 0).map(anyOf)
  const merged = [32, 128].flatMap((bits) =>
    mergeFamily(
      networks.filter((each) => each.bits === bits),
      context,
    ),
  )
  return RegoSet.of(merged.map((each) => `${formatAddress(each)}/${each.prefix}`))
}

function mergeFamily(networks: readonly Network[], context: BuiltinContext): Network[] {
  const sorted = [...networks].sort((a, b) =>
    a.address < b.address ? -1 : a.address > b.address ? 1 : a.prefix - b.prefix,
  )
  const stack: Network[] = []
  for (const next of sorted) {
    context.step()
    const last = stack.at(-1)
    if (last !== undefined && contains(last, next)) continue
    stack.push(next)
    while (joinLast(stack)) context.step()
  }
  return stack
}

function joinLast(stack: Network[]): boolean {
  const [left, right] = [stack.at(-2), stack.at(-1)]
  if (
    left === undefined ||
    right === undefined ||
    left.prefix !== right.prefix ||
    left.prefix === 0
  )
    return false
  const shift = BigInt(left.bits - left.prefix + 1)
  if (left.address >> shift !== right.address >> shift) return false
  stack.splice(-2, 2, { ...left, prefix: left.prefix - 1 })
  return true
}

export const NETWORKS: Readonly<Record<string, Builtin>> = {
  'net.cidr_contains': {
    arity: 2,
    call: (args) => contains(network(args, 0), anyOf(operand.string(args, 1))),
  },
  'net.cidr_intersects': {
    arity: 2,
    call: (args) => {
      const [a, b] = [network(args, 0), network(args, 1)]
      return contains(a, b) || contains(b, a)
    },
  },
  'net.cidr_overlap': {
    arity: 2,
    deprecated: true,
    call: (args) => contains(network(args, 0), anyOf(operand.string(args, 1))),
  },
  'net.cidr_contains_matches': { arity: 2, call: containsMatches },
  'net.cidr_expand': { arity: 1, call: expand },
  'net.cidr_is_valid': {
    arity: 1,
    call: (args) => typeof args[0] === 'string' && parseNetwork(args[0]) !== undefined,
  },
  'net.cidr_merge': { arity: 1, call: merge },
}
