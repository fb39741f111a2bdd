/** Evaluates a signature policy for one manifest digest: fetches cosign's signatures and checks them with the policy's keys. */
import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { smallBlob, type ImageSource } from './image-source.ts'
import { parseManifest } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'
import { keyFingerprint, parsePublicKey, verifySignature } from './public-key.ts'
import { formatReference, type ImageReference } from './reference.ts'
import {
  matchesIdentity,
  requirementsFor,
  type SignaturePolicy,
  type SigstoreSigned,
} from './signature-policy.ts'
import { COSIGN, parseSignedPayload, signatureTag } from './simple-signing.ts'

/** Bytes of one payload; real ones have some 300. */
const PAYLOAD_LIMIT = 64 * 1024
/** Signatures of one image that are looked at. */
const SIGNATURES_LIMIT = 64

export interface SignatureCheck {
  readonly source: ImageSource
  /** The name for which the image is wanted. */
  readonly reference: ImageReference
  readonly manifestDigest: string
  readonly policy: SignaturePolicy
  /** Reads the file that `keyPath` names (a path or a `kbs://` URI). Absent: such keys are refused. */
  readonly readKey?: ((path: string, signal?: AbortSignal) => Promise<Uint8Array>) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface CosignSignature {
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Returns when every requirement of the policy holds; the result names the keys that vouched (SHA-256 of the SPKI, hex), none when
 * the policy accepts anything. Throws `image.policy-rejected`, `image.signature-missing`, `-invalid`, `-identity`.
 */
export async function enforceSignaturePolicy(check: SignatureCheck): Promise<string[]> {
  const vouchedBy: string[] = []
  let signatures: CosignSignature[] | undefined
  for (const requirement of requirementsFor(check.policy, check.reference)) {
    if (requirement.type === 'insecureAcceptAnything') continue
    if (requirement.type === 'reject')
      throw new CloisterError('image.policy-rejected', { where: formatReference(check.reference) })
    signatures ??= await cosignSignatures(check.source, check.manifestDigest, check.signal)
    vouchedBy.push(await requireSignature(check, requirement, signatures))
  }
  return vouchedBy
}

/** The signatures stored for a manifest, unchecked; none is an empty list. */
export async function cosignSignatures(
  source: ImageSource,
  manifestDigest: string,
  signal?: AbortSignal,
): Promise<CosignSignature[]> {
  const document = await source.document(signatureTag(manifestDigest), signal)
  if (document === undefined) return []
  const signatures: CosignSignature[] = []
  for (const layer of parseManifest(document).layers.slice(0, SIGNATURES_LIMIT)) {
    const signature = layer.annotations?.[COSIGN.signature]?.replaceAll(/\s/g, '')
    const isSignature = layer.mediaType === MEDIA_TYPES.simpleSigning && layer.size <= PAYLOAD_LIMIT
    if (!isSignature || !z.base64().min(1).safeParse(signature).success) continue
    signatures.push({
      payload: await smallBlob(source, layer, signal),
      signature: Buffer.from(signature!, 'base64'),
    })
  }
  return signatures
}

/** One good signature by one of the requirement's keys is enough; others, by whomever, do not harm. */
async function requireSignature(
  check: SignatureCheck,
  requirement: SigstoreSigned,
  signatures: readonly CosignSignature[],
): Promise<string> {
  const where = `${check.source.name} ${signatureTag(check.manifestDigest)}`
  if (signatures.length === 0) throw new CloisterError('image.signature-missing', { where })
  const keys = await requirementKeys(check, requirement)
  let isOnlyIdentityWrong = false
  for (const { payload, signature } of signatures) {
    const key = keys.find((candidate) => verifySignature(candidate, payload, signature))
    const signed = key === undefined ? undefined : parseSignedPayload(payload)
    if (key === undefined || signed?.manifestDigest !== check.manifestDigest) continue
    if (matchesIdentity(requirement.signedIdentity, check.reference, signed.identity))
      return keyFingerprint(key)
    isOnlyIdentityWrong = true
  }
  throw new CloisterError(
    isOnlyIdentityWrong ? 'image.signature-identity' : 'image.signature-invalid',
    {
      where,
      expected: `a signature by ${keys.map((key) => keyFingerprint(key).slice(0, 16)).join(' or ')}`,
    },
  )
}

async function requirementKeys(
  { readKey, signal }: SignatureCheck,
  { keyPath, keyPaths, keyData, keyDatas }: SigstoreSigned,
): Promise<KeyObject[]> {
  const inline = keyDatas ?? (keyData === undefined ? [] : [keyData])
  const paths = keyPaths ?? (keyPath === undefined ? [] : [keyPath])
  const keys = inline.map((data) => parsePublicKey(decodeKeyData(data)))
  for (const path of paths) {
    if (readKey === undefined)
      throw new CloisterError('image.policy-malformed', {
        where: 'keyPath',
        why: 'keys by path cannot be read here; use keyData',
      })
    keys.push(parsePublicKey(Buffer.from(await readKey(path, signal)).toString('utf8')))
  }
  return keys
}

/** The format says base64; Confidential Containers' image-rs reads a bare PEM, so both are in use. */
function decodeKeyData(data: string): string {
  return data.startsWith('-----BEGIN ') ? data : Buffer.from(data, 'base64').toString('utf8')
}
