/**
 * A fake AMD for tests: makes whole chains and signs any report. Its names say FAKE and its roots are no anchors of
 * `appraise`; only {@link FakeAmd.appraise} knows them. Node only; nothing outside of tests imports this file.
 */
import { createHash, generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { NAME_OID } from '../formats/x509-name.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { AMD_NAMING, SIMULATED_NAMING } from '../snp/anchors.ts'
import type { ChainNaming, HardwareRoot } from '../snp/anchors.ts'
import { appraiseSnpUnder } from '../snp/appraise.ts'
import type { SnpAppraisal, SnpAppraiseOptions } from '../snp/appraise.ts'
import {
  issueArk,
  issueArkRevocationList,
  issueIntermediate,
  issueVcek,
  issueVlek,
  signSnpReport,
} from '../snp/endorsement-issue.ts'
import type { ChainIdentity } from '../snp/endorsement-issue.ts'
import type { SnpEvidence } from '../snp/evidence.ts'
import type { ProductLine } from '../snp/product.ts'
import { readTcb } from '../snp/tcb.ts'
import type { Tcb } from '../snp/tcb.ts'
import type { ReportTemplate } from '../snp/report-template.ts'
import type { SnpReport } from '../snp/report.ts'

export const FAKE_NAMING: ChainNaming = {
  shared: [
    { oid: NAME_OID.organization, value: 'FAKE Micro Devices, for tests only' },
    { oid: NAME_OID.organizationalUnit, value: 'FAKE' },
  ],
  prefix: 'FAKE ',
}

/** A report of a guest on Genoa that meets every default of the policy. */
export const GENOA_GUEST: ReportTemplate = {
  processor: { family: 0x19, model: 0x11, stepping: 1 },
  tcb: { fmc: null, bootloader: 10, tee: 0, snp: 23, microcode: 84 },
  firmware: { major: 1, minor: 55, build: 40 },
  chipId: new Uint8Array(64).fill(7),
  measurement: new Uint8Array(48).fill(1),
  reportData: new Uint8Array(64).fill(2),
}

/** Whose names the chain carries: `amd` for a foreign root under AMD's names, `simulated` for a simulated processor. */
export type FakeNames = 'fake' | 'amd' | 'simulated'

const NAMINGS = { fake: FAKE_NAMING, amd: AMD_NAMING, simulated: SIMULATED_NAMING } as const

export interface FakeAmdOptions {
  readonly line?: ProductLine
  readonly names?: FakeNames
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** RSA with 4096 bits for ARK, ASK and ASVK, as AMD's are; takes seconds to make. */
  readonly rsaAuthorities?: boolean
}

interface Key {
  readonly signer: Signer
  readonly spki: Uint8Array
}

export class FakeAmd {
  readonly line: ProductLine
  readonly identity: ChainIdentity
  readonly ark: Uint8Array
  readonly ask: Uint8Array
  readonly asvk: Uint8Array
  readonly arkSigner: Signer
  readonly askSigner: Signer
  readonly asvkSigner: Signer
  /** The key that signs reports, as VCEK and as VLEK. */
  readonly leaf: Key
  /** SHA-256 of the root, lowercase hex: what a caller lists in `simulatedRoots`. */
  readonly fingerprint: string

  constructor(options: FakeAmdOptions = {}) {
    const { line = 'Genoa', names = 'fake' } = options
    const { notBefore = new Date('2020-01-01'), notAfter = new Date('2045-01-01') } = options
    this.line = line
    this.identity = { naming: NAMINGS[names], line, notBefore, notAfter }
    const authority = options.rsaAuthorities === true ? newRsaKey : newKey
    const [ark, ask, asvk, leaf] = [authority(), authority(), authority(), newKey()]
    this.arkSigner = ark.signer
    this.askSigner = ask.signer
    this.asvkSigner = asvk.signer
    this.leaf = leaf
    this.ark = issueArk(this.identity, ark.spki, ark.signer)
    this.ask = issueIntermediate(this.identity, 'ask', ask.spki, ark.signer)
    this.asvk = issueIntermediate(this.identity, 'asvk', asvk.spki, ark.signer)
    this.fingerprint = createHash('sha256').update(this.ark).digest('hex')
  }

  get root(): HardwareRoot {
    const { line, fingerprint, identity } = this
    return { kind: 'hardware', line, fingerprint, naming: identity.naming }
  }

  /** @param hardwareId - 64 bytes, or 8 on Turin */
  vcek(tcb: Tcb, hardwareId: Uint8Array): Uint8Array {
    return issueVcek(this.identity, { tcb, hardwareId }, this.leaf.spki, this.askSigner)
  }

  vlek(tcb: Tcb, cspId: string): Uint8Array {
    return issueVlek(this.identity, { tcb, cspId }, this.leaf.spki, this.asvkSigner)
  }

  /** @param revoked - serial numbers; the ASK's is 2, the ASVK's 3 */
  revocationList(thisUpdate: Date, nextUpdate: Date, revoked: readonly number[] = []): Uint8Array {
    return issueArkRevocationList(
      this.identity,
      { thisUpdate, nextUpdate, revoked },
      this.arkSigner,
    )
  }

  /** Signs the report and adds the chain that fits it: a VCEK, or a VLEK when the report names one. */
  evidence(report: SnpReport): SnpEvidence {
    const tcb = readTcb(report.reportedTcb, this.line)
    const chip = this.line === 'Turin' ? report.chipId.subarray(0, 8) : report.chipId
    const certificates =
      report.keyInfo.signingKey === 'vlek'
        ? [this.vlek(tcb, 'CN=FAKE cloud'), this.asvk, this.ark]
        : [this.vcek(tcb, chip), this.ask, this.ark]
    return { report: signSnpReport(report, this.leaf.signer), certificates }
  }

  /** `appraiseSnp` in a world in which this authority's root is the hardware's. */
  appraise(evidence: Uint8Array | SnpEvidence, options: SnpAppraiseOptions): Promise<SnpAppraisal> {
    return appraiseSnpUnder([this.root], evidence, options)
  }
}

function newKey(): Key {
  return keyOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey)
}

function newRsaKey(): Key {
  return keyOf(generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey)
}

function keyOf(privateKey: KeyObject): Key {
  return { signer: keySigner(privateKey), spki: spkiOf(privateKey) }
}
