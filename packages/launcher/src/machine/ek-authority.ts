/**
 * The site's certificate authority for endorsement keys of vTPMs: who meets one of its certificates knows that Cloister on that host made
 * the TPM. It says nothing against the host, which holds the authority's key and every TPM's state.
 */

/** What swtpm tells of a new endorsement key. */
export interface EkRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  /** Names the VM in the certificate's subject; at most 64 characters. */
  readonly vmId: string
}

export interface EkAuthority {
  /** The authority's own certificate, DER: the trust anchor. */
  readonly certificate: Uint8Array
  /** SHA-256 of {@link certificate}, hex. */
  readonly fingerprint: string
  /** A certificate of the TCG EK Credential Profile, DER. */
  issue(request: EkRequest): Promise<Uint8Array>
}

/**
 * @param directory - of its key and certificate, mode 0700; made when absent
 * @throws CloisterError `vtpm.authority-unreadable`, `vm.folder-denied`, `host.disk-full`
 */
export async function openEkAuthority(_directory: string): Promise<EkAuthority> {
  throw new Error('follows')
}
