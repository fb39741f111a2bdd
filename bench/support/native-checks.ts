/**
 * The floor of what verifies Evidence: signature checks by Node's native crypto in the form that costs least, a DER signature and a key
 * object that is ready. Node throws and catches inside when it is given the key in an options object, which would flatter us.
 */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export interface NativeCheck {
  /** With the key object ready. */
  readonly check: () => boolean
  /** The key read from text first, as for a certificate seen for the first time. */
  readonly importAndCheck: () => boolean
}

export function ecdsaCheck(curve: 'P-256' | 'P-384', sizeBytes: number): NativeCheck {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
  const hash = curve === 'P-256' ? 'sha256' : 'sha384'
  const data = new Uint8Array(sizeBytes).fill(1)
  const signature = sign(hash, data, privateKey)
  return natively(publicKey, (key) => verify(hash, data, key, signature))
}

/** RSASSA-PSS with SHA-384 and 4096 bits, as AMD's roots and intermediates sign. */
export function rsaPssCheck(sizeBytes: number): NativeCheck {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 })
  const data = new Uint8Array(sizeBytes).fill(1)
  const parameters = { padding: PSS_PADDING, saltLength: 48 }
  const signature = sign('sha384', data, { key: privateKey, ...parameters })
  return natively(createPublicKey(privateKey), (key) =>
    verify('sha384', data, Object.assign(key, parameters), signature),
  )
}

const PSS_PADDING = 6

function natively(key: KeyObject, check: (key: KeyObject) => boolean): NativeCheck {
  const pem = key.export({ format: 'pem', type: 'spki' })
  return { check: () => check(key), importAndCheck: () => check(createPublicKey(pem)) }
}
