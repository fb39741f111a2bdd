/** A FAKE IBM for tests: host key documents, their chain and lists, and measurements under any key. Node, tests only. */
import { createHash, createHmac, generateKeyPairSync } from 'node:crypto'
import {
  KEY_USAGE,
  basicConstraintsExtension,
  keyUsageExtension,
} from '../formats/x509-extensions.ts'
import type { Extension } from '../formats/x509-certificate.ts'
import { issueCertificate, issueRevocationList } from '../formats/x509-issue.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import type { NameAttribute } from '../formats/x509-name.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { measuredBytes } from '../se/measurement.ts'
import type { SeEvidence } from '../se/evidence.ts'

export interface FakeAuthority {
  readonly name: readonly NameAttribute[]
  readonly signer: Signer
  readonly der: Uint8Array
}

export interface FakeIbmOptions {
  readonly signerName?: string
  readonly signerExtensions?: readonly Extension[]
  readonly hostKeyCurve?: 'P-256' | 'P-521'
  readonly notBefore?: Date
  readonly notAfter?: Date
}

const CA = [basicConstraintsExtension(true), keyUsageExtension(KEY_USAGE.keyCertSign)]
const SIGNS = [basicConstraintsExtension(false), keyUsageExtension(KEY_USAGE.digitalSignature)]

export class FakeIbm {
  readonly root: FakeAuthority
  readonly intermediate: FakeAuthority
  readonly signer: FakeAuthority
  readonly hostKeyDocument: Uint8Array
  /** SHA-256 of the root, lowercase hex. */
  readonly fingerprint: string

  constructor(options: FakeIbmOptions = {}) {
    const { signerName = 'FAKE Host Key Signing Service', hostKeyCurve = 'P-521' } = options
    this.root = issue('FAKE root', undefined, CA)
    this.intermediate = issue('FAKE intermediate', this.root, CA)
    this.signer = issue(signerName, this.intermediate, options.signerExtensions ?? SIGNS, options)
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: hostKeyCurve })
    this.hostKeyDocument = issueCertificate(
      {
        serial: 9,
        // The same name with its parts the other way round, and of the other place.
        issuer: nameOf('FAKE Host Key Signing Service', 'Armonk').toReversed(),
        subject: nameOf('FAKE Host Key', 'Armonk'),
        notBefore: new Date('2026-01-01'),
        notAfter: new Date('2027-01-01'),
        spki: spkiOf(publicKey),
        extensions: [keyUsageExtension(4)],
      },
      this.signer.signer,
    )
    this.fingerprint = createHash('sha256').update(this.root.der).digest('hex')
  }

  get certificates(): readonly Uint8Array[] {
    return [this.root.der, this.hostKeyDocument, this.signer.der, this.intermediate.der]
  }

  /** Both authorities' lists; all their certificates have the serial number 1. */
  lists(revoked: readonly number[] = [], options: FakeListOptions = {}): readonly Uint8Array[] {
    const { by } = options
    return [this.intermediate, this.root].map((authority) =>
      issueRevocationList(
        {
          issuer: authority.name,
          thisUpdate: options.thisUpdate ?? new Date('2026-05-01'),
          nextUpdate: options.nextUpdate ?? new Date('2026-07-01'),
          revoked: revoked.map((serial) => ({ serial, time: new Date('2026-01-02') })),
        },
        by ?? authority.signer,
      ),
    )
  }
}

export interface FakeListOptions {
  readonly thisUpdate?: Date
  readonly nextUpdate?: Date
  readonly by?: Signer
}

/** Evidence that an ultravisor with this key would give. */
export function fakeSeEvidence(key: Uint8Array, nonce: Uint8Array): SeEvidence {
  const evidence = {
    imageHeaderTags: new Uint8Array(208).fill(1),
    cuid: new Uint8Array(16).fill(2),
    userData: new Uint8Array(64).fill(3),
    additionalData: new Uint8Array(64).fill(4),
  }
  const measurement = createHmac('sha512', key).update(measuredBytes(evidence, nonce)).digest()
  return { ...evidence, measurement: new Uint8Array(measurement) }
}

function nameOf(unit: string, place: string): readonly NameAttribute[] {
  return [
    { oid: NAME_OID.organization, value: 'FAKE Business Machines' },
    { oid: NAME_OID.locality, value: place },
    { oid: NAME_OID.organizationalUnit, value: unit },
  ]
}

function issue(
  unit: string,
  issuer: FakeAuthority | undefined,
  extensions: readonly Extension[],
  options: FakeIbmOptions = {},
): FakeAuthority {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const signer = keySigner(privateKey)
  const name = nameOf(unit, 'Poughkeepsie')
  const der = issueCertificate(
    {
      serial: 1,
      issuer: issuer?.name ?? name,
      subject: name,
      notBefore: options.notBefore ?? new Date('2026-01-01'),
      notAfter: options.notAfter ?? new Date('2027-01-01'),
      spki: spkiOf(privateKey),
      extensions,
    },
    issuer?.signer ?? signer,
  )
  return { name, signer, der }
}
