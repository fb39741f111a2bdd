/** EFI_SIGNATURE_LISTs, the values of PK, KEK, db and dbx (UEFI 2.10, 32.4.1): type, sizes, then entries of owner and data. */
import { concatBytes } from '@cloister/verifier/bytes/concat'
import { guidToBytes } from '@cloister/verifier/formats/guid'

const TYPE = {
  x509: 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072',
  sha256: 'c1c41626-504c-4092-aca9-41f936934328',
} as const

/** One list for each certificate, for their sizes differ. @param owner - GUID @param certificates - DER */
export function encodeCertificateLists(
  owner: string,
  certificates: readonly Uint8Array[],
): Uint8Array {
  return concatBytes(
    ...certificates.map((certificate) => encodeList(TYPE.x509, owner, [certificate])),
  )
}

/** @param digests - 32 bytes each; none gives no list */
export function encodeDigestList(owner: string, digests: readonly Uint8Array[]): Uint8Array {
  return digests.length === 0 ? new Uint8Array() : encodeList(TYPE.sha256, owner, digests)
}

/** @param entries - of one size */
function encodeList(type: string, owner: string, entries: readonly Uint8Array[]): Uint8Array {
  const entrySize = 16 + (entries[0]?.length ?? 0)
  const sizes = new Uint8Array(12)
  const view = new DataView(sizes.buffer)
  view.setUint32(0, 28 + entries.length * entrySize, true)
  view.setUint32(8, entrySize, true)
  const ownerBytes = guidToBytes(owner)
  const data = entries.flatMap((entry) => [ownerBytes, entry])
  return concatBytes(guidToBytes(type), sizes, ...data)
}
