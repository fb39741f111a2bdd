/** Public keys on NIST curves from their bare coordinates: SEC1 points and COSE_Key (RFC 9053 section 7.1.1). */
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { CborFields, exactly } from './cbor-fields.ts'
import { parseCbor } from './cbor-reader.ts'
import { derBitString, derOid, derSequence } from './der-writer.ts'
import { OID } from './x509-algorithm.ts'

export type Curve = 'P-256' | 'P-384' | 'P-521'

const CURVES: Readonly<Record<Curve, { readonly oid: string; readonly size: number }>> = {
  'P-256': { oid: OID.p256, size: 32 },
  'P-384': { oid: OID.p384, size: 48 },
  'P-521': { oid: OID.p521, size: 66 },
}
/** COSE elliptic curves. */
const COSE_CURVES: ReadonlyMap<number, Curve> = new Map([
  [1, 'P-256'],
  [2, 'P-384'],
  [3, 'P-521'],
])
const COSE_KEY = { keyType: 1, curve: -1, x: -2, y: -3 } as const
const EC2 = 2
const UNCOMPRESSED = 4

export interface EcPublicKey {
  readonly curve: Curve
  /** SubjectPublicKeyInfo in DER; whether the point is on the curve is seen at import. */
  readonly spki: Uint8Array
}

/** An uncompressed SEC1 point, recognised by its length. @throws FormatError */
export function keyFromPoint(point: Uint8Array): EcPublicKey {
  const curve = (Object.keys(CURVES) as Curve[]).find(
    (name) => point.length === 1 + 2 * CURVES[name].size,
  )
  if (curve === undefined || point[0] !== UNCOMPRESSED)
    throw new FormatError('EC point', 'point', 0, 'not an uncompressed point of a known curve')
  const algorithm = derSequence(derOid(OID.ecPublicKey), derOid(CURVES[curve].oid))
  return { curve, spki: derSequence(algorithm, derBitString(point)) }
}

/** An EC2 COSE_Key with both coordinates and nothing else. @throws FormatError */
export function keyFromCose(bytes: Uint8Array): EcPublicKey {
  const fields = new CborFields('COSE_Key', parseCbor('COSE_Key', bytes))
  if (fields.number(COSE_KEY.keyType, EC2) !== EC2) fields.fail(COSE_KEY.keyType, 'not EC2')
  const curve = COSE_CURVES.get(fields.number(COSE_KEY.curve, 3))
  if (curve === undefined) return fields.fail(COSE_KEY.curve, 'unknown')
  const { size } = CURVES[curve]
  const x = fields.bytes(COSE_KEY.x, exactly(size))
  const y = fields.bytes(COSE_KEY.y, exactly(size))
  fields.end()
  return keyFromPoint(concatBytes(Uint8Array.of(UNCOMPRESSED), x, y))
}
