/** A FAKE Arm platform for tests: signs any CCA token with keys of its own, in both forms of the realm key. Node, tests only. */
import { createHash, generateKeyPairSync } from 'node:crypto'
import {
  cborArray,
  cborBytes,
  cborInt,
  cborMap,
  cborText,
  encodeCbor,
} from '../formats/cbor-item.ts'
import type { CborItem } from '../formats/cbor-item.ts'
import { coseHeader, coseSignedBytes, encodeCoseSign1 } from '../formats/cose-sign1.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { CCA_TAG, TOKEN_KEY } from '../cca/token.ts'

export interface FakeCcaOptions {
  /** Members that replace others; undefined removes one. */
  readonly platform?: Readonly<Record<number, CborItem | undefined>>
  readonly realm?: Readonly<Record<number, CborItem | undefined>>
  readonly platformAlgorithm?: number
  readonly realmAlgorithm?: number
  /** Whether the realm key is a COSE_Key, with a profile, or the older bare point. */
  readonly profile?: boolean
  /** Signs the realm token in place of the realm's own key. */
  readonly realmSigner?: Signer
}

interface Key {
  readonly signer: Signer
  readonly spki: Uint8Array
}

const filled = (size: number, value: number) => cborBytes(new Uint8Array(size).fill(value))

export class FakeArm {
  readonly platformKey: Key
  readonly realmKey: Key

  /** @param curve - of the platform key: ES256 or ES384 */
  constructor(curve: 'P-256' | 'P-384' = 'P-384') {
    this.platformKey = newKey(curve)
    this.realmKey = newKey('P-384')
  }

  token(options: FakeCcaOptions = {}): Uint8Array {
    const { profile = true } = options
    const platformAlgorithm = this.platformKey.signer.algorithm === 'ecdsa-p256-sha256' ? -7 : -35
    const point = this.realmKey.spki.subarray(-97)
    const key = profile ? coseKey(point) : point
    const realm = members({
      10: filled(64, 1),
      265: profile ? cborText('tag:arm.com,2023:realm#1.0.0') : undefined,
      44_235: filled(64, 2),
      44_236: cborText('sha-256'),
      44_237: cborBytes(key),
      44_238: filled(32, 3),
      44_239: cborArray(filled(32, 4), filled(32, 5), filled(32, 6), filled(32, 7)),
      44_240: cborText('sha-512'),
      ...options.realm,
    })
    const platform = members({
      10: cborBytes(createHash('sha512').update(key).digest()),
      256: cborBytes(Uint8Array.of(1, ...new Uint8Array(32).fill(8))),
      265: cborText('tag:arm.com,2023:cca_platform#1.0.0'),
      2395: cborInt(0x3000),
      2396: filled(32, 9),
      2399: cborArray(
        cborMap([
          [1, cborText('RMM')],
          [2, filled(32, 10)],
          [5, filled(32, 11)],
        ]),
      ),
      2401: filled(4, 12),
      2402: cborText('sha-256'),
      ...options.platform,
    })
    const { realmSigner = this.realmKey.signer } = options
    return ccaToken(
      sign(platform, this.platformKey.signer, options.platformAlgorithm ?? platformAlgorithm),
      sign(realm, realmSigner, options.realmAlgorithm ?? -35),
    )
  }
}

export function ccaToken(platform: Uint8Array, realm: Uint8Array, tag = CCA_TAG): Uint8Array {
  const item = cborMap([
    [TOKEN_KEY.platform, cborBytes(platform)],
    [TOKEN_KEY.realm, cborBytes(realm)],
  ])
  return encodeCbor({ kind: 'tag', tag, item })
}

function members(given: Readonly<Record<number, CborItem | undefined>>): CborItem {
  return cborMap(
    Object.entries(given).flatMap(([key, item]) =>
      item === undefined ? [] : [[Number(key), item] as const],
    ),
  )
}

function sign(claims: CborItem, signer: Signer, algorithm: number): Uint8Array {
  const protectedBytes = coseHeader(algorithm)
  const payload = encodeCbor(claims)
  const signature = signer.sign(coseSignedBytes({ protectedBytes, payload }))
  const unprotected = new Map()
  return encodeCoseSign1({
    tagged: true,
    protectedBytes,
    algorithm,
    unprotected,
    payload,
    signature,
  })
}

function coseKey(point: Uint8Array): Uint8Array {
  return encodeCbor(
    cborMap([
      [1, cborInt(2)],
      [-1, cborInt(2)],
      [-2, cborBytes(point.subarray(1, 49))],
      [-3, cborBytes(point.subarray(49))],
    ]),
  )
}

function newKey(namedCurve: 'P-256' | 'P-384'): Key {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve })
  return { signer: keySigner(privateKey), spki: spkiOf(privateKey) }
}
