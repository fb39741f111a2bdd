/** CBOR diagnostic notation (RFC 8949 section 8), as far as the recorded claims use it. Tests only. */
import { fromHex } from '../bytes/hex.ts'
import {
  cborArray,
  cborBytes,
  cborInt,
  cborMap,
  cborText,
  encodeCbor,
} from '../formats/cbor-item.ts'
import type { CborItem, CborKey } from '../formats/cbor-item.ts'

const TOKEN = /\/[^/]*\/|h'[0-9a-fA-F]*'|"[^"]*"|-?\d+|<<|>>|[{}[\]:,]/g

/** @throws Error on anything else than maps, arrays, integers, bytes, text and embedded CBOR */
export function fromDiagnostic(text: string): CborItem {
  const tokens = (text.match(TOKEN) ?? []).filter((token) => !token.startsWith('/'))
  let next = 0
  const take = (wanted?: string): string => {
    const token = tokens[next++]
    if (token === undefined || (wanted !== undefined && token !== wanted))
      throw new Error(`diagnostic notation: ${token}, wanted ${wanted}`)
    return token
  }
  const until = <Value>(end: string, read: () => Value): Value[] => {
    const values: Value[] = []
    while (tokens[next] !== end) {
      values.push(read())
      if (tokens[next] === ',') next++
    }
    take(end)
    return values
  }
  const item = (): CborItem => {
    const token = take()
    if (token === '{') return cborMap(until('}', entry))
    if (token === '[') return cborArray(...until(']', item))
    if (token === '<<') return cborBytes(encodeCbor(until('>>', item)[0] as CborItem))
    if (token.startsWith("h'")) return cborBytes(fromHex(token.slice(2, -1)))
    return token.startsWith('"') ? cborText(token.slice(1, -1)) : cborInt(Number(token))
  }
  const entry = (): readonly [CborKey, CborItem] => {
    const key = Number(take())
    take(':')
    return [key, item()]
  }
  return item()
}
