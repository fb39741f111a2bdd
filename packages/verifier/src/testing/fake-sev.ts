/** A processor of SEV and SEV-ES with AMD's chain above it, for tests: it shows its certificates, opens an owner's session, measures, and takes a secret. */
import {
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto'
import { concatBytes } from '../bytes/concat.ts'
import { toHex } from '../bytes/hex.ts'
import { parsePlatformCertificate, SEV_USAGE } from '../sev/certificate.ts'
import type { SevRoot } from '../sev/chain.ts'

const ALGORITHM = { rsa: 0x001, ecdsa: 0x002, ecdh: 0x003 } as const
const BODY_BYTES = 0x414

interface Keys {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** What a launch by an owner came to. */
export interface FakeSevLaunch {
  /** Base64 of 32 bytes of measure and 16 of nonce. */
  readonly measurement: string
  /** Takes a packet as LAUNCH_SECRET does; undefined where its MAC is wrong. */
  open(header: string, secret: string): Buffer | undefined
}

export class FakeSev {
  readonly api = { major: 0, minor: 24, build: 15 } as const
  /** PDH, PEK, OCA, CEK, ASK, ARK. */
  readonly chain: Uint8Array
  readonly roots: readonly SevRoot[]
  readonly #pdh: Keys = ecKeys()

  constructor() {
    const [ark, ask] = [rsaKeys(), rsaKeys()]
    const [cek, oca, pek] = [ecKeys(), ecKeys(), ecKeys()]
    const arkBody = amdBody(SEV_USAGE.ark, 1, 1, ark)
    const askBody = amdBody(SEV_USAGE.ask, 2, 1, ask)
    const { ecdsa, ecdh } = ALGORITHM
    const cekBody = platformBody(SEV_USAGE.cek, ecdsa, cek)
    const ocaBody = platformBody(SEV_USAGE.oca, ecdsa, oca)
    const pekBody = platformBody(SEV_USAGE.pek, ecdsa, pek)
    const pdhBody = platformBody(SEV_USAGE.pdh, ecdh, this.#pdh)
    this.chain = concatBytes(
      signed(pdhBody, [SEV_USAGE.pek, pek]),
      signed(pekBody, [SEV_USAGE.oca, oca], [SEV_USAGE.cek, cek]),
      signed(ocaBody, [SEV_USAGE.oca, oca]),
      signed(cekBody, [SEV_USAGE.ask, ask]),
      concatBytes(askBody, rsaSignature(askBody, ark)),
      concatBytes(arkBody, rsaSignature(arkBody, ark)),
    )
    this.roots = [{ line: 'fake', fingerprint: sha256(arkBody) }]
  }

  /**
   * LAUNCH_START to LAUNCH_MEASURE.
   *
   * @param owner - certificate and session, base64 each
   * @param launchDigest - 32 bytes
   * @throws Error where a MAC of the session is wrong, as the firmware refuses it
   */
  launch(
    owner: { readonly certificate: string; readonly session: string },
    policy: number,
    launchDigest: Uint8Array,
  ): FakeSevLaunch {
    const { spki } = parsePlatformCertificate(Buffer.from(owner.certificate, 'base64'))
    const session = Buffer.from(owner.session, 'base64')
    const [nonce, wrapped] = [session.subarray(0, 16), session.subarray(16, 48)]
    const [iv, wrapMac] = [session.subarray(48, 64), session.subarray(64, 96)]
    const publicKey = createPublicKey({
      key: Buffer.from(spki ?? []),
      format: 'der',
      type: 'spki',
    })
    const shared = diffieHellman({ privateKey: this.#pdh.privateKey, publicKey })
    const master = derive(shared, 'sev-master-secret', nonce)
    const [kek, kik] = [derive(master, 'sev-kek'), derive(master, 'sev-kik')]
    if (!hmac(kik, wrapped).equals(wrapMac)) throw new Error('the MAC of the keys is wrong')
    const keys = createDecipheriv('aes-128-ctr', kek, iv).update(wrapped)
    const [tek, tik] = [keys.subarray(0, 16), keys.subarray(16)]
    const policyBytes = u32(policy)
    if (!hmac(tik, policyBytes).equals(session.subarray(96, 128)))
      throw new Error('the MAC of the policy is wrong')
    const { major, minor, build } = this.api
    const measureNonce = Buffer.alloc(16, 0x5a)
    const head = Buffer.from([4, major, minor, build])
    const measure = hmac(tik, head, policyBytes, launchDigest, measureNonce)
    return {
      measurement: Buffer.concat([measure, measureNonce]).toString('base64'),
      open: (header, secret) => openPacket({ tek, tik, measure }, header, secret),
    }
  }
}

function openPacket(
  { tek, tik, measure }: { readonly tek: Buffer; readonly tik: Buffer; readonly measure: Buffer },
  headerText: string,
  secretText: string,
): Buffer | undefined {
  const [header, secret] = [headerText, secretText].map((text) => Buffer.from(text, 'base64'))
  if (header?.length !== 52 || secret === undefined) return undefined
  const [flags, iv, mac] = [header.subarray(0, 4), header.subarray(4, 20), header.subarray(20)]
  const length = u32(secret.length)
  const expected = hmac(tik, Buffer.from([1]), flags, iv, length, length, secret, measure)
  if (!expected.equals(mac)) return undefined
  return createDecipheriv('aes-128-ctr', tek, iv).update(secret)
}

/** One block of NIST SP 800-108 in counter mode, as the firmware derives keys of 16 bytes. */
function derive(key: Buffer, label: string, context: Uint8Array = Buffer.alloc(0)): Buffer {
  const input = [u32(1), Buffer.from(label), Buffer.alloc(1), context, u32(128)]
  return hmac(key, ...input).subarray(0, 16)
}

function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function sha256(bytes: Uint8Array): string {
  return toHex(createHash('sha256').update(bytes).digest())
}

function rsaKeys(): Keys {
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
}

function ecKeys(): Keys {
  return generateKeyPairSync('ec', { namedCurve: 'P-384' })
}

/** Little-endian, with zeros up to the size. */
function number(bigEndian: Uint8Array, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.set(Buffer.from(bigEndian).reverse())
  return bytes
}

function jwkBytes(key: KeyObject, name: 'x' | 'y' | 'n' | 'e'): Buffer {
  return Buffer.from(key.export({ format: 'jwk' })[name] ?? '', 'base64url')
}

function amdBody(usage: number, id: number, certifier: number, { publicKey }: Keys): Buffer {
  return Buffer.concat([
    u32(1),
    Buffer.alloc(16, id),
    Buffer.alloc(16, certifier),
    u32(usage),
    Buffer.alloc(16),
    u32(2048),
    u32(2048),
    number(jwkBytes(publicKey, 'e'), 256),
    number(jwkBytes(publicKey, 'n'), 256),
  ])
}

function platformBody(usage: number, algorithm: number, { publicKey }: Keys): Buffer {
  const body = Buffer.alloc(BODY_BYTES)
  body.set(u32(1))
  body.set([0, 24], 4)
  body.set(u32(usage), 8)
  body.set(u32(algorithm), 12)
  body.set(u32(2), 16)
  body.set(number(jwkBytes(publicKey, 'x'), 72), 20)
  body.set(number(jwkBytes(publicKey, 'y'), 72), 92)
  return body
}

type By = readonly [usage: number, keys: Keys]

function signed(body: Buffer, ...by: readonly By[]): Buffer {
  const places = by.map(([usage, keys]) => signaturePlace(body, usage, keys))
  const none = Buffer.concat([u32(SEV_USAGE.none), u32(0), Buffer.alloc(512)])
  return Buffer.concat([body, ...places, ...(places.length === 1 ? [none] : [])])
}

function signaturePlace(body: Buffer, usage: number, keys: Keys): Buffer {
  const value = Buffer.alloc(512)
  if (keys.privateKey.asymmetricKeyType === 'rsa') {
    value.set(rsaSignature(body, keys))
    return Buffer.concat([u32(usage), u32(ALGORITHM.rsa), value])
  }
  const signature = sign('sha256', body, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' })
  value.set(number(signature.subarray(0, 48), 72))
  value.set(number(signature.subarray(48), 72), 72)
  return Buffer.concat([u32(usage), u32(ALGORITHM.ecdsa), value])
}

/** RSASSA-PSS with a salt of the digest's length. */
function rsaSignature(body: Buffer, { privateKey }: Keys): Buffer {
  const signature = sign('sha256', body, { key: privateKey, padding: 6, saltLength: 32 })
  return Buffer.from(signature).reverse()
}
