/** A FAKE Amazon for tests: signs any attestation document under its own root. Its names cannot be mistaken. Node, tests only. */
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
import type { Extension } from '../formats/x509-certificate.ts'
import {
  KEY_USAGE,
  basicConstraintsExtension,
  keyUsageExtension,
} from '../formats/x509-extensions.ts'
import { issueCertificate } from '../formats/x509-issue.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'

export interface FakeCertificateOptions {
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly issuerName?: string
  readonly extensions?: readonly Extension[]
  readonly curve?: 'P-256' | 'P-384'
}

interface Authority {
  readonly name: string
  readonly signer: Signer
  readonly der: Uint8Array
}

const CA = [basicConstraintsExtension(true), keyUsageExtension(KEY_USAGE.keyCertSign)]
const LEAF = [basicConstraintsExtension(false), keyUsageExtension(KEY_USAGE.digitalSignature)]

const zeros = (size: number) => new Uint8Array(size)

export class FakeAws {
  readonly root: Authority
  readonly instance: Authority
  /** SHA-256 of the root, lowercase hex. */
  readonly fingerprint: string

  constructor() {
    this.root = issue('FAKE root', undefined, CA)
    this.instance = issue('FAKE instance', this.root, CA)
    this.fingerprint = createHash('sha256').update(this.root.der).digest('hex')
  }

  /** The document's members; `change` replaces some, undefined removes one. */
  members(
    change: Readonly<Record<string, CborItem | undefined>> = {},
    leaf = this.leaf(),
  ): CborItem {
    const pcrs = Array.from(
      { length: 16 },
      (_, index) => [index, cborBytes(zeros(48).fill(index + 1))] as const,
    )
    const members: Record<string, CborItem | undefined> = {
      module_id: cborText('i-fake-enc1'),
      digest: cborText('SHA384'),
      timestamp: cborInt(Date.parse('2026-06-01T00:00:00Z')),
      pcrs: cborMap(pcrs),
      certificate: cborBytes(leaf.der),
      cabundle: cborArray(cborBytes(this.root.der), cborBytes(this.instance.der)),
      nonce: cborBytes(Uint8Array.of(1)),
      user_data: cborBytes(Uint8Array.of(2)),
      public_key: cborBytes(Uint8Array.of(3)),
      ...change,
    }
    return cborMap(
      Object.entries(members).flatMap(([key, item]) =>
        item === undefined ? [] : [[key, item] as const],
      ),
    )
  }

  leaf(options: FakeCertificateOptions = {}): Authority {
    return issue('FAKE enclave', this.instance, LEAF, options)
  }

  document(
    change: Readonly<Record<string, CborItem | undefined>> = {},
    leaf: Authority = this.leaf(),
    algorithm = -35,
  ): Uint8Array {
    const protectedBytes = coseHeader(algorithm)
    const payload = encodeCbor(this.members(change, leaf))
    const signature = leaf.signer.sign(coseSignedBytes({ protectedBytes, payload }))
    return encodeCoseSign1({
      tagged: true,
      protectedBytes,
      algorithm,
      unprotected: new Map(),
      payload,
      // A key of another curve signs shorter; the document's length stays.
      signature: Uint8Array.of(...signature, ...zeros(96 - signature.length)),
    })
  }
}

function issue(
  name: string,
  issuer: Authority | undefined,
  extensions: readonly Extension[],
  options: FakeCertificateOptions = {},
): Authority {
  const namedCurve = options.curve ?? 'P-384'
  const { privateKey } = generateKeyPairSync('ec', { namedCurve })
  const signer = keySigner(privateKey)
  const of = (value: string) => [{ oid: NAME_OID.commonName, value }]
  const der = issueCertificate(
    {
      serial: 1,
      issuer: of(options.issuerName ?? issuer?.name ?? name),
      subject: of(name),
      notBefore: options.notBefore ?? new Date('2026-01-01'),
      notAfter: options.notAfter ?? new Date('2027-01-01'),
      spki: spkiOf(privateKey),
      extensions: options.extensions ?? extensions,
    },
    issuer?.signer ?? signer,
  )
  return { name, signer, der }
}
