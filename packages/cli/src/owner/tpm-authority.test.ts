import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { encodePem } from '@cloister/verifier/formats/pem'
import { FakeTpm } from '@cloister/verifier/testing/fake-tpm'
import { tpmAuthority } from './tpm-authority.ts'

const TPM = new FakeTpm()
const OTHER = new FakeTpm()
const pem = (...ders: readonly Uint8Array[]) =>
  Buffer.from(ders.map((der) => encodePem('CERTIFICATE', der)).join(''))

test('tpmAuthority() takes the root, in PEM or DER, with what comes along', () => {
  for (const file of [TPM.root, pem(TPM.root), pem(TPM.certificate(), TPM.root)])
    assert.equal(tpmAuthority(file).fingerprint, TPM.fingerprint)
  assert.equal(tpmAuthority(pem(TPM.certificate(), TPM.root)).intermediates.length, 1)
  const named = TPM.fingerprint.toUpperCase().replace(/../g, '$&:').slice(0, -1)
  assert.equal(tpmAuthority(pem(TPM.root, OTHER.root), named).subject, 'FAKE TPM root')
})

test('tpmAuthority() refuses another than named, several roots, none, and garbage', () => {
  const refused = isCode('owner.tpm-ca')
  assert.throws(() => tpmAuthority(TPM.root, OTHER.fingerprint), refused)
  assert.throws(() => tpmAuthority(pem(TPM.root, OTHER.root)), refused)
  assert.throws(() => tpmAuthority(pem(TPM.certificate(), OTHER.certificate())), refused)
  assert.throws(() => tpmAuthority(Uint8Array.of(1, 2, 3)), refused)
})
