/**
 * Public areas from which a TPM makes its primary keys: the same template and the same TPM give the same key. Endorsement keys by
 * the TCG EK Credential Profile 2.5, templates L-1 and L-2; attestation keys as Google's virtual TPMs have them.
 */
import { concatBytes } from '@cloister/verifier/bytes/concat'
import { withSize, word } from '@cloister/verifier/tpm/attest'

/** The kinds of keys that TPMs have, and their EK certificates. */
export const TPM_KEY_KINDS = ['rsa', 'ecc'] as const
export type TpmKeyKind = (typeof TPM_KEY_KINDS)[number]

/** TPM_ALG. */
const ALG = {
  rsa: 0x0001,
  aes: 0x0006,
  sha256: 0x000b,
  null: 0x0010,
  rsassa: 0x0014,
  ecdsa: 0x0018,
  ecc: 0x0023,
  cfb: 0x0043,
} as const
const P256 = 0x0003
const RSA_BITS = 2048
const AES_BITS = 128

/** TPMA_OBJECT of an endorsement key: fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt. */
const EK_ATTRIBUTES = 0x0003_00b2
/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign: it signs nothing but what the TPM made itself. */
const AK_ATTRIBUTES = 0x0005_0072

/** PolicySecret(TPM_RH_ENDORSEMENT), as the profile prints it. */
const EK_POLICY = Buffer.from(
  '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa',
  'hex',
)

/** TPMT_PUBLIC for CreatePrimary in the endorsement hierarchy. */
export function endorsementKeyTemplate(kind: TpmKeyKind): Uint8Array {
  const head = concatBytes(
    word(2, ALG[kind]),
    word(2, ALG.sha256),
    word(4, EK_ATTRIBUTES),
    withSize(EK_POLICY),
    // What it would encrypt its children with.
    word(2, ALG.aes),
    word(2, AES_BITS),
    word(2, ALG.cfb),
    word(2, ALG.null),
  )
  return kind === 'rsa'
    ? concatBytes(head, rsaParameters(new Uint8Array(RSA_BITS / 8)))
    : concatBytes(head, eccParameters(new Uint8Array(32)))
}

/** TPMT_PUBLIC of a restricted signing key: RSASSA or ECDSA with SHA-256. */
export function attestationKeyTemplate(kind: TpmKeyKind): Uint8Array {
  const scheme = kind === 'rsa' ? ALG.rsassa : ALG.ecdsa
  const head = concatBytes(
    word(2, ALG[kind]),
    word(2, ALG.sha256),
    word(4, AK_ATTRIBUTES),
    withSize(new Uint8Array()),
    word(2, ALG.null),
    word(2, scheme),
    word(2, ALG.sha256),
  )
  const empty = new Uint8Array()
  return concatBytes(head, kind === 'rsa' ? rsaParameters(empty) : eccParameters(empty))
}

/** TPMS_RSA_PARMS after the scheme, and the unique field. Exponent 0 means 65537. */
function rsaParameters(unique: Uint8Array): Uint8Array {
  return concatBytes(word(2, RSA_BITS), word(4, 0), withSize(unique))
}

/** TPMS_ECC_PARMS after the scheme, and the unique point. */
function eccParameters(coordinate: Uint8Array): Uint8Array {
  return concatBytes(word(2, P256), word(2, ALG.null), withSize(coordinate), withSize(coordinate))
}
