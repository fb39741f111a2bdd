/** subjectAltName (RFC 5280 section 4.2.1.6): DNS names and IP addresses, as TLS servers need them. */
import { toUtf8 } from '../bytes/text.ts'
import { der, derSequence } from './der-writer.ts'
import { contextTag } from './der-reader.ts'
import type { Extension } from './x509-certificate.ts'
import { EXTENSION_OID } from './x509-extensions.ts'

/** @param names - DNS names, IPv4 dotted or IPv6 text; at least one */
export function subjectAltNameExtension(names: readonly string[]): Extension {
  if (names.length === 0) throw new RangeError('a subjectAltName needs at least one name')
  const general = names.map((name) => {
    const address = ipBytes(name)
    return address === undefined
      ? der(contextTag(2, 'primitive'), toUtf8(name))
      : der(contextTag(7, 'primitive'), address)
  })
  return { oid: EXTENSION_OID.subjectAltName, critical: false, value: derSequence(...general) }
}

function ipBytes(name: string): Uint8Array | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(name)) return Uint8Array.from(name.split('.').map(Number))
  if (!name.includes(':')) return undefined
  const [head = '', tail] = name.split('::')
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const middle: number[] = Array.from(
    { length: Math.max(0, 8 - left.length - right.length) },
    () => 0,
  )
  const words = [...left, ...middle, ...right]
  if (words.length !== 8) throw new RangeError(`"${name}" is not an IP address`)
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]))
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
