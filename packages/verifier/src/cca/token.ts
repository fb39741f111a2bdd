/** Arm CCA attestation token: CBOR tag 399 around a map of the platform's and the realm's COSE_Sign1. */
import { FormatError } from '../bytes/format-error.ts'
import { CborFields } from '../formats/cbor-fields.ts'
import { parseCbor } from '../formats/cbor-reader.ts'
import { parseCoseSign1 } from '../formats/cose-sign1.ts'
import type { CoseSign1 } from '../formats/cose-sign1.ts'
import { readPlatformClaims } from './platform-claims.ts'
import type { PlatformClaims } from './platform-claims.ts'
import { readRealmClaims } from './realm-claims.ts'
import type { RealmClaims } from './realm-claims.ts'

const FORMAT = 'CCA token'
export const CCA_TAG = 399
export const TOKEN_KEY = { platform: 44_234, realm: 44_241 } as const
const PART = { least: 1, most: 65_536 } as const

export interface CcaToken {
  readonly platform: { readonly message: CoseSign1; readonly claims: PlatformClaims }
  readonly realm: { readonly message: CoseSign1; readonly claims: RealmClaims }
}

/** @throws FormatError */
export function parseCcaToken(bytes: Uint8Array): CcaToken {
  const outer = parseCbor(FORMAT, bytes)
  if (outer.kind !== 'tag' || outer.tag !== CCA_TAG)
    throw new FormatError(FORMAT, 'tag', 0, `not ${CCA_TAG}`)
  const fields = new CborFields(FORMAT, outer.item)
  const platform = readMessage(fields.bytes(TOKEN_KEY.platform, PART))
  const realm = readMessage(fields.bytes(TOKEN_KEY.realm, PART))
  fields.end()
  return {
    platform: {
      message: platform,
      claims: readPlatformClaims(parseCbor('CCA platform claims', platform.payload)),
    },
    realm: {
      message: realm,
      claims: readRealmClaims(parseCbor('CCA realm claims', realm.payload)),
    },
  }
}

function readMessage(bytes: Uint8Array): CoseSign1 {
  const message = parseCoseSign1(bytes)
  if (!message.tagged) throw new FormatError(FORMAT, 'message', 0, 'without tag 18')
  // Nobody signs it, so nothing may stand in it.
  if (message.unprotected.size !== 0)
    throw new FormatError(FORMAT, 'message', 0, 'unprotected header is not empty')
  return message
}
