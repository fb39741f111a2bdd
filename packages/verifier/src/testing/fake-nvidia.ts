/** A FAKE NVIDIA for tests: signs any report under its own root. Its names cannot be mistaken. Node, tests only. */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { concatBytes } from '../bytes/concat.ts'
import { der, derInteger, derOctetString, derOid, derSequence } from '../formats/der-writer.ts'
import { OID } from '../formats/x509-algorithm.ts'
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

export const FAKE_FWID = new Uint8Array(48).fill(5)

const CA = [basicConstraintsExtension(true), keyUsageExtension(KEY_USAGE.keyCertSign)]
const SIGNS = keyUsageExtension(KEY_USAGE.digitalSignature)

/** As Hopper writes it; `blackwell` as DiceTcbInfo. */
export function fwidExtension(fwid: Uint8Array, spki: Uint8Array, form = 'hopper'): Extension {
  const digest = derSequence(derOid(OID.sha384), derOctetString(fwid))
  const critical = false
  return form === 'hopper'
    ? { oid: '2.23.133.5.4.1', critical, value: derSequence(derInteger(1), spki, digest) }
    : {
        oid: '2.23.133.5.4.1.1',
        critical,
        value: derSequence(der(0x80, Uint8Array.of(65)), der(0xa6, digest)),
      }
}

export interface FakeDeviceOptions {
  readonly extensions?: (spki: Uint8Array) => readonly Extension[]
  readonly notBefore?: Date
  readonly notAfter?: Date
}

interface Authority {
  readonly name: string
  readonly signer: Signer
  readonly der: Uint8Array
}

export class FakeNvidia {
  readonly root: Authority
  readonly issuer: Authority
  /** SHA-256 of the root, lowercase hex. */
  readonly fingerprint: string

  constructor() {
    this.root = issue('FAKE root', undefined, () => CA)
    this.issuer = issue('FAKE issuer', this.root, () => CA)
    this.fingerprint = createHash('sha256').update(this.root.der).digest('hex')
  }

  device(options: FakeDeviceOptions = {}): Authority {
    const extensions = options.extensions ?? ((spki) => [SIGNS, fwidExtension(FAKE_FWID, spki)])
    return issue('FAKE device', this.issuer, extensions, options)
  }

  certificates(device: Authority): readonly Uint8Array[] {
    return [this.issuer.der, this.root.der, device.der]
  }
}

/** Opaque fields by type; one measurement of index 1. */
export function fakeReport(
  { signer }: Pick<Authority, 'signer'>,
  opaque: Readonly<Record<number, Uint8Array>> = { 20: FAKE_FWID },
): Uint8Array {
  const u16 = (value: number) => Uint8Array.of(value & 0xff, value >> 8)
  const fields = Object.entries(opaque).map(([type, value]) =>
    concatBytes(u16(Number(type)), u16(value.length), value),
  )
  const data = concatBytes(...fields)
  const record = concatBytes(
    Uint8Array.of(1, 1),
    u16(51),
    Uint8Array.of(1),
    u16(48),
    new Uint8Array(48).fill(6),
  )
  const signed = concatBytes(
    Uint8Array.of(0x11, 0xe0, 1, 0xff),
    new Uint8Array(32).fill(7),
    Uint8Array.of(0, 0x11, 0x60, 0, 0, 1),
    u16(record.length),
    Uint8Array.of(0),
    record,
    new Uint8Array(32).fill(8),
    u16(data.length),
    data,
  )
  return concatBytes(signed, signer.sign(signed))
}

function issue(
  name: string,
  issuer: Authority | undefined,
  extensions: (spki: Uint8Array) => readonly Extension[],
  options: FakeDeviceOptions = {},
): Authority {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const signer = keySigner(privateKey)
  const spki = spkiOf(privateKey)
  const of = (value: string) => [{ oid: NAME_OID.commonName, value }]
  const certificate = issueCertificate(
    {
      serial: 1,
      issuer: of(issuer?.name ?? name),
      subject: of(name),
      notBefore: options.notBefore ?? new Date('2026-01-01'),
      notAfter: options.notAfter ?? new Date('2027-01-01'),
      spki,
      extensions: extensions(spki),
    },
    issuer?.signer ?? signer,
  )
  return { name, signer, der: certificate }
}
