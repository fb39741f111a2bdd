/** CCA claims in JSON, as verifiers that already checked a token hand them on: names for keys, base64 for bytes; the same rules. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { cborArray, cborBytes, cborInt, cborMap, cborText } from '../formats/cbor-item.ts'
import type { CborItem } from '../formats/cbor-item.ts'
import { objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import { COMPONENT_CLAIM, PLATFORM_CLAIM, readPlatformClaims } from './platform-claims.ts'
import type { PlatformClaims } from './platform-claims.ts'

const FORMAT = 'CCA claims in JSON'
const MAX_COMPONENTS = 64

type Member = readonly [key: number, encode: (name: string, value: unknown) => CborItem]

const COMPONENT: Readonly<Record<string, Member>> = {
  'measurement-type': [COMPONENT_CLAIM.type, text],
  'measurement-value': [COMPONENT_CLAIM.measurement, bytes],
  version: [COMPONENT_CLAIM.version, text],
  'signer-id': [COMPONENT_CLAIM.signerId, bytes],
  'hash-algo-id': [COMPONENT_CLAIM.hashAlgorithm, text],
}

const PLATFORM: Readonly<Record<string, Member>> = {
  'cca-platform-profile': [PLATFORM_CLAIM.profile, text],
  'cca-platform-challenge': [PLATFORM_CLAIM.challenge, bytes],
  'cca-platform-implementation-id': [PLATFORM_CLAIM.implementationId, bytes],
  'cca-platform-instance-id': [PLATFORM_CLAIM.instanceId, bytes],
  'cca-platform-config': [PLATFORM_CLAIM.config, bytes],
  'cca-platform-lifecycle': [PLATFORM_CLAIM.lifecycle, number],
  'cca-platform-sw-components': [PLATFORM_CLAIM.softwareComponents, components],
  'cca-platform-service-indicator': [PLATFORM_CLAIM.verificationService, text],
  'cca-platform-hash-algo-id': [PLATFORM_CLAIM.hashAlgorithm, text],
}

/** Nobody signed these: whoever handed them on must be trusted otherwise. @throws FormatError */
export function parsePlatformClaimsJson(input: Uint8Array): PlatformClaims {
  return readPlatformClaims(mapOf(PLATFORM, 'claims', parseJson(FORMAT, input)))
}

function mapOf(members: Readonly<Record<string, Member>>, name: string, value: unknown): CborItem {
  const entries = Object.entries(objectOf(FORMAT, name, value))
  return cborMap(
    entries.map(([field, given]) => {
      const member = Object.hasOwn(members, field) ? members[field] : undefined
      if (member === undefined) throw new FormatError(FORMAT, field.slice(0, 64), 0, 'is unknown')
      return [member[0], member[1](field, given)] as const
    }),
  )
}

function components(name: string, value: unknown): CborItem {
  if (!Array.isArray(value) || value.length > MAX_COMPONENTS)
    throw new FormatError(FORMAT, name, 0, 'not a short list')
  return cborArray(...value.map((entry: unknown) => mapOf(COMPONENT, name, entry)))
}

function bytes(name: string, value: unknown): CborItem {
  return cborBytes(fromBase64(string(name, value)))
}

function text(name: string, value: unknown): CborItem {
  return cborText(string(name, value))
}

function number(name: string, value: unknown): CborItem {
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new FormatError(FORMAT, name, 0, 'not a whole number')
  return cborInt(value)
}

function string(name: string, value: unknown): string {
  if (typeof value !== 'string' || value.length > 65_536)
    throw new FormatError(FORMAT, name, 0, 'not a short text')
  return value
}
