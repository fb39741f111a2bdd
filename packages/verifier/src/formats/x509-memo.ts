/**
 * What was found out about one parsed certificate or list, kept on the value itself so that nothing is done twice while it lives. Weak maps beside the
 * values cost the collector of memory a twentieth of a cold appraisal (`bench/tdx-appraise.ts`).
 */
import type { PublicKey } from '../crypto/crypto.ts'

export interface X509Memo {
  /** Its own public key as the runtime holds it. */
  key: PublicKey | undefined
  /** SubjectPublicKeyInfo under which its signature was found to hold. */
  signer: Uint8Array | undefined
  /** SHA-256 of the whole in lowercase hex. */
  fingerprint: string | undefined
}

export function emptyMemo(): X509Memo {
  return { key: undefined, signer: undefined, fingerprint: undefined }
}
