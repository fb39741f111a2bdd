/**
 * A fake Intel for tests: PCK chains, collateral, lists and quotes under a root whose names say FAKE and that no appraisal but
 * {@link FakeIntel}'s own knows. Node only; nothing outside of tests imports this file.
 */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { toBase64 } from '../bytes/base64.ts'
import { concatBytes } from '../bytes/concat.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { INTEL_NAME } from '../dcap/anchors.ts'
import type { IntelRoot } from '../dcap/anchors.ts'
import { encodeEnclaveReport } from '../dcap/enclave-report.ts'
import type { EnclaveReport } from '../dcap/enclave-report.ts'
import type { DcapEndorsements } from '../dcap/endorsements.ts'
import { pckExtension } from '../dcap/pck.ts'
import type { PckIdentity } from '../dcap/pck.ts'
import { encodeQuote, encodeSigned } from '../dcap/quote.ts'
import type { CertificationData, Quote, QuoteBody } from '../dcap/quote.ts'
import type { TdReport } from '../dcap/td-report.ts'
import { encodePem } from '../formats/pem.ts'
import type { Extension } from '../formats/x509-certificate.ts'
import { basicConstraintsExtension, keyUsageExtension } from '../formats/x509-extensions.ts'
import { issueCertificate, issueRevocationList } from '../formats/x509-issue.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { appraiseSgxUnder } from '../sgx/appraise.ts'
import type { SgxAppraisal, SgxAppraiseOptions } from '../sgx/appraise.ts'
import { appraiseTdxUnder } from '../tdx/appraise.ts'
import type { TdxAppraisal, TdxAppraiseOptions } from '../tdx/appraise.ts'

const PREFIX = 'FAKE '
const FROM = new Date('2020-01-01')
const UNTIL = new Date('2045-01-01')

interface Key {
  readonly signer: Signer
  readonly spki: Uint8Array
}

export interface FakeQuoteOptions {
  readonly version?: number
  readonly pck?: Partial<PckIdentity>
  readonly qeReport?: Partial<EnclaveReport>
  /** Replaces the PCK chain. */
  readonly certification?: CertificationData
  /** Replaces fields before signing. */
  readonly header?: Partial<Pick<Quote, 'attestationKeyType' | 'vendorId'>>
  /** Replaces fields after signing. */
  readonly after?: Partial<Quote>
}

export class FakeIntel {
  readonly #keys = {
    root: newKey(),
    ca: newKey(),
    pck: newKey(),
    tcb: newKey(),
    attestation: newKey(),
  }
  readonly rootCertificate: Uint8Array
  readonly caCertificate: Uint8Array
  readonly tcbSigning: Uint8Array
  readonly root: IntelRoot

  constructor() {
    const { root, ca, tcb } = this.#keys
    const authority = (pathLength: number) => [
      basicConstraintsExtension(true, pathLength),
      keyUsageExtension(5, 6),
    ]
    this.rootCertificate = certificate(
      INTEL_NAME.root,
      INTEL_NAME.root,
      root,
      root,
      authority(1),
      1,
    )
    this.caCertificate = certificate(
      INTEL_NAME.platformCa,
      INTEL_NAME.root,
      ca,
      root,
      authority(0),
      2,
    )
    this.tcbSigning = certificate(
      INTEL_NAME.tcbSigning,
      INTEL_NAME.root,
      tcb,
      root,
      [keyUsageExtension(0)],
      3,
    )
    const fingerprint = createHash('sha256').update(this.rootCertificate).digest('hex')
    this.root = { fingerprint, prefix: PREFIX, certificate: toBase64(this.rootCertificate) }
  }

  /** Serial number 4. */
  pckCertificate(identity: Partial<PckIdentity> = {}, name: string = INTEL_NAME.pck): Uint8Array {
    const { pck, ca } = this.#keys
    const extension = pckExtension({ ...FAKE_PCK, ...identity })
    return certificate(name, INTEL_NAME.platformCa, pck, ca, [extension], 4)
  }

  plainCertificate(): Uint8Array {
    return certificate(INTEL_NAME.pck, INTEL_NAME.platformCa, this.#keys.pck, this.#keys.ca, [], 4)
  }

  pckChain(leaf: Uint8Array): CertificationData {
    const chain = [leaf, this.caCertificate, this.rootCertificate]
    return { type: 5, data: toUtf8(chain.map((der) => encodePem('CERTIFICATE', der)).join('')) }
  }

  /** A list of the root or of the PCK CA. @param revoked - serial numbers: CA 2, TCB signing 3, PCK 4 */
  list(
    issuer: 'root' | 'ca',
    from: Date,
    until: Date,
    revoked: readonly number[] = [],
  ): Uint8Array {
    const name = issuer === 'root' ? INTEL_NAME.root : INTEL_NAME.platformCa
    return issueRevocationList(
      {
        issuer: [{ oid: NAME_OID.commonName, value: PREFIX + name }],
        thisUpdate: from,
        nextUpdate: until,
        revoked: revoked.map((serial) => ({ serial, time: from })),
      },
      this.#keys[issuer].signer,
    )
  }

  /** Signs a TCB info or QE identity. */
  statement(member: 'tcbInfo' | 'enclaveIdentity', value: object): Uint8Array {
    const text = JSON.stringify(value)
    const signature = toHex(this.#keys.tcb.signer.sign(toUtf8(text)))
    return toUtf8(`{"${member}":${text},"signature":"${signature}"}`)
  }

  /** Collateral in date from `from` to `until` under which the fake platform is up to date. */
  endorsements(kind: 'sgx' | 'tdx', from: Date, until: Date): Required<DcapEndorsements> {
    return {
      certificates: [this.tcbSigning, this.caCertificate, this.rootCertificate],
      revocationLists: [this.list('root', from, until), this.list('ca', from, until)],
      tcbInfos: [this.statement('tcbInfo', fakeTcbInfo(kind, from, until))],
      qeIdentities: [this.statement('enclaveIdentity', fakeQeIdentity(kind, from, until))],
    }
  }

  quote(body: QuoteBody, options: FakeQuoteOptions = {}): Uint8Array {
    const { version = body.kind === 'tdx' ? 4 : 3, pck, header, after } = options
    const { attestation, pck: pckKey } = this.#keys
    const attestationKey = attestation.spki.subarray(-64)
    const qeAuthData = new Uint8Array(32).fill(5)
    const bound = createHash('sha256').update(attestationKey).update(qeAuthData).digest()
    const reportData = concatBytes(bound, new Uint8Array(32))
    const isvProdId = body.kind === 'tdx' ? 2 : 1
    const qeReport = { ...FAKE_QE, isvProdId, reportData, ...options.qeReport }
    const qeReportBytes = encodeEnclaveReport(qeReport)
    const unsigned = {
      version,
      attestationKeyType: 2,
      headerSvns: new Uint8Array(4),
      vendorId: fromHex('939a7233f79c4ca9940a0db3957f0607'),
      userData: new Uint8Array(20),
      body,
      ...header,
    }
    const signed = encodeSigned(unsigned)
    return encodeQuote({
      ...unsigned,
      signed,
      signature: attestation.signer.sign(signed),
      attestationKey,
      qeReport,
      qeReportBytes,
      qeReportSignature: pckKey.signer.sign(qeReportBytes),
      qeAuthData,
      certification: options.certification ?? this.pckChain(this.pckCertificate(pck)),
      paddingBytes: 0,
      ...after,
    })
  }

  appraiseTdx(evidence: Uint8Array, options: TdxAppraiseOptions): Promise<TdxAppraisal> {
    return appraiseTdxUnder(this.root, evidence, options)
  }

  appraiseSgx(evidence: Uint8Array, options: SgxAppraiseOptions): Promise<SgxAppraisal> {
    return appraiseSgxUnder(this.root, evidence, options)
  }
}

export const FAKE_PCK: PckIdentity = {
  ppid: new Uint8Array(16).fill(1),
  components: Array.from({ length: 16 }, () => 5),
  pceSvn: 11,
  cpuSvn: new Uint8Array(16).fill(2),
  pceId: '0000',
  fmspc: 'fa4e00000000',
  platformInstanceId: undefined,
  smtEnabled: undefined,
}

/** A TD of the 1.0 layout on a module of version 1. */
export const FAKE_TD: TdReport = {
  teeTcbSvn: Uint8Array.of(5, 1, 5, ...Array.from({ length: 13 }, () => 0)),
  mrSeam: new Uint8Array(48).fill(1),
  mrSignerSeam: new Uint8Array(48),
  seamAttributes: new Uint8Array(8),
  tdAttributes: Uint8Array.of(0, 0, 0, 0x10, 0, 0, 0, 0),
  xfam: new Uint8Array(8),
  mrTd: new Uint8Array(48).fill(2),
  mrConfigId: new Uint8Array(48),
  mrOwner: new Uint8Array(48),
  mrOwnerConfig: new Uint8Array(48),
  rtmr0: new Uint8Array(48),
  rtmr1: new Uint8Array(48),
  rtmr2: new Uint8Array(48),
  rtmr3: new Uint8Array(48),
  reportData: new Uint8Array(64),
  teeTcbSvn2: undefined,
  mrServiceTd: undefined,
}

export const FAKE_QE: EnclaveReport = {
  cpuSvn: new Uint8Array(16),
  miscSelect: new Uint8Array(4),
  isvExtProdId: new Uint8Array(16),
  attributes: Uint8Array.of(0x11, ...Array.from({ length: 15 }, () => 0)),
  mrEnclave: new Uint8Array(32).fill(3),
  mrSigner: new Uint8Array(32).fill(4),
  configId: new Uint8Array(64),
  isvProdId: 2,
  isvSvn: 4,
  configSvn: 0,
  isvFamilyId: new Uint8Array(16),
  reportData: new Uint8Array(64),
}

/** The value of a TCB info: three levels, the newest at component SVN 5. */
export function fakeTcbInfo(kind: 'sgx' | 'tdx', from: Date, until: Date) {
  const level = (svn: number, tcbStatus: string, advisoryIDs: readonly string[]) => ({
    tcb: {
      sgxtcbcomponents: Array.from({ length: 16 }, () => ({ svn })),
      pcesvn: 11,
      ...(kind === 'tdx' ? { tdxtcbcomponents: tdxComponents(svn) } : {}),
    },
    tcbDate: '2024-01-01T00:00:00Z',
    tcbStatus,
    advisoryIDs,
  })
  const module = {
    mrsigner: '00'.repeat(48),
    attributes: '00'.repeat(8),
    attributesMask: 'ff'.repeat(8),
  }
  const moduleLevel = (isvsvn: number, tcbStatus: string) => ({
    tcb: { isvsvn },
    tcbDate: '2024-01-01T00:00:00Z',
    tcbStatus,
  })
  const tcbLevels = [
    moduleLevel(5, 'UpToDate'),
    moduleLevel(3, 'OutOfDate'),
    moduleLevel(1, 'Revoked'),
  ]
  return {
    id: kind.toUpperCase(),
    version: 3,
    issueDate: isoSeconds(from),
    nextUpdate: isoSeconds(until),
    fmspc: FAKE_PCK.fmspc.toUpperCase(),
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 17,
    ...(kind === 'tdx'
      ? { tdxModule: module, tdxModuleIdentities: [{ id: 'TDX_01', ...module, tcbLevels }] }
      : {}),
    tcbLevels: [
      level(2, 'Revoked', ['FAKE-SA-2']),
      level(5, 'UpToDate', []),
      level(4, 'SWHardeningNeeded', ['FAKE-SA-4']),
      level(3, 'OutOfDate', ['FAKE-SA-3']),
    ],
  }
}

export function fakeQeIdentity(kind: 'sgx' | 'tdx', from: Date, until: Date) {
  const level = (isvsvn: number, tcbStatus: string) => ({
    tcb: { isvsvn },
    tcbDate: '2024-01-01T00:00:00Z',
    tcbStatus,
  })
  return {
    id: kind === 'tdx' ? 'TD_QE' : 'QE',
    version: 2,
    issueDate: isoSeconds(from),
    nextUpdate: isoSeconds(until),
    tcbEvaluationDataNumber: 17,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: '11000000000000000000000000000000',
    attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
    mrsigner: '04'.repeat(32),
    isvprodid: kind === 'tdx' ? 2 : 1,
    tcbLevels: [level(4, 'UpToDate'), level(2, 'OutOfDate'), level(1, 'Revoked')],
  }
}

function tdxComponents(svn: number) {
  return Array.from({ length: 16 }, (_, index) => ({ svn: index === 2 ? svn : 0 }))
}

function isoSeconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z')
}

function certificate(
  subject: string,
  issuer: string,
  key: Key,
  signer: Key,
  extensions: readonly Extension[],
  serial: number,
): Uint8Array {
  const name = (value: string) => [{ oid: NAME_OID.commonName, value: PREFIX + value }]
  return issueCertificate(
    {
      serial,
      issuer: name(issuer),
      subject: name(subject),
      notBefore: FROM,
      notAfter: UNTIL,
      spki: key.spki,
      extensions,
    },
    signer.signer,
  )
}

function newKey(): Key {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { signer: keySigner(privateKey), spki: spkiOf(privateKey) }
}
