/**
 * What an authority of SNP endorsements does: issue ARK, ASK, ASVK, VCEK, VLEK and revocation lists, and sign reports. Used by
 * the simulated secure processor and by the tests' fake AMD. Names come from a {@link ChainNaming}; AMD's own cannot pass
 * for genuine, for the root's fingerprint is pinned.
 */
import type { Extension } from '../formats/x509-certificate.ts'
import { derIa5String, derInteger } from '../formats/der-writer.ts'
import {
  KEY_USAGE,
  basicConstraintsExtension,
  keyUsageExtension,
} from '../formats/x509-extensions.ts'
import { issueCertificate, issueRevocationList } from '../formats/x509-issue.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { chainName } from './anchors.ts'
import type { ChainNaming, ChainRole } from './anchors.ts'
import { ENDORSEMENT_OID } from './endorsement.ts'
import type { Endorsement } from './endorsement.ts'
import type { ProductLine } from './product.ts'
import { REPORT_SIGNED_SIZE, encodeSnpReport } from './report.ts'
import type { SnpReport } from './report.ts'
import { signatureFromP1363 } from './report-signature.ts'
import type { Tcb } from './tcb.ts'

/** What all certificates of one chain share. */
export interface ChainIdentity {
  readonly naming: ChainNaming
  readonly line: ProductLine
  readonly notBefore: Date
  readonly notAfter: Date
}

/** The self-signed root. @param spki - of the root's own key */
export function issueArk(
  identity: ChainIdentity,
  spki: Uint8Array,
  ark: Signer,
): Uint8Array<ArrayBuffer> {
  const usage = keyUsageExtension(KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign)
  return issue(identity, ['ark', 'ark'], spki, ark, [basicConstraintsExtension(true), usage], 1)
}

/** The intermediate of VCEKs (`ask`) or of VLEKs (`asvk`). */
export function issueIntermediate(
  identity: ChainIdentity,
  role: 'ask' | 'asvk',
  spki: Uint8Array,
  ark: Signer,
): Uint8Array<ArrayBuffer> {
  const usage = keyUsageExtension(KEY_USAGE.keyCertSign)
  const extensions = [basicConstraintsExtension(true, 0), usage]
  return issue(identity, ['ark', role], spki, ark, extensions, role === 'ask' ? 2 : 3)
}

/** @param hardwareId - 64 bytes, 8 on Turin */
export function issueVcek(
  identity: ChainIdentity,
  chip: { readonly tcb: Tcb; readonly hardwareId: Uint8Array },
  spki: Uint8Array,
  ask: Signer,
): Uint8Array<ArrayBuffer> {
  const extensions = endorsementExtensions({
    structureVersion: structureVersionOf(identity.line),
    productName: identity.line,
    tcb: chip.tcb,
    hardwareId: chip.hardwareId,
    cspId: undefined,
  })
  return issue(identity, ['ask', 'vcek'], spki, ask, extensions, 0)
}

export function issueVlek(
  identity: ChainIdentity,
  provider: { readonly tcb: Tcb; readonly cspId: string },
  spki: Uint8Array,
  asvk: Signer,
): Uint8Array<ArrayBuffer> {
  const extensions = endorsementExtensions({
    structureVersion: structureVersionOf(identity.line),
    productName: identity.line,
    tcb: provider.tcb,
    hardwareId: undefined,
    cspId: provider.cspId,
  })
  return issue(identity, ['asvk', 'vlek'], spki, asvk, extensions, 0)
}

/** A revocation list by the root. @param revoked - serial numbers of intermediates */
export function issueArkRevocationList(
  identity: ChainIdentity,
  list: {
    readonly thisUpdate: Date
    readonly nextUpdate: Date
    readonly revoked: readonly number[]
  },
  ark: Signer,
): Uint8Array<ArrayBuffer> {
  const { thisUpdate, nextUpdate, revoked } = list
  return issueRevocationList(
    {
      issuer: chainName(identity.naming, 'ark', identity.line),
      thisUpdate,
      nextUpdate,
      revoked: revoked.map((serial) => ({ serial, time: thisUpdate })),
    },
    ark,
  )
}

/** The report with its signature field replaced, in 1184 bytes. @param key - a P-384 signer, the VCEK or VLEK */
export function signSnpReport(report: SnpReport, key: Signer): Uint8Array<ArrayBuffer> {
  const bytes = encodeSnpReport(report)
  const signature = signatureFromP1363(key.sign(bytes.subarray(0, REPORT_SIGNED_SIZE)))
  return encodeSnpReport({ ...report, signature })
}

export function structureVersionOf(line: ProductLine): number {
  return line === 'Turin' ? 1 : 0
}

/** AMD's extensions as they stand in a leaf. */
export function endorsementExtensions(endorsement: Endorsement): Extension[] {
  const { tcb, hardwareId, cspId } = endorsement
  const number = (oid: string, value: number): Extension => plain(oid, derInteger(value))
  return [
    number(ENDORSEMENT_OID.structureVersion, endorsement.structureVersion),
    plain(ENDORSEMENT_OID.productName, derIa5String(endorsement.productName)),
    ...(tcb.fmc === null ? [] : [number(ENDORSEMENT_OID.fmc, tcb.fmc)]),
    number(ENDORSEMENT_OID.bootloader, tcb.bootloader),
    number(ENDORSEMENT_OID.tee, tcb.tee),
    number(ENDORSEMENT_OID.snp, tcb.snp),
    number(ENDORSEMENT_OID.microcode, tcb.microcode),
    ...(hardwareId === undefined ? [] : [plain(ENDORSEMENT_OID.hardwareId, hardwareId)]),
    ...(cspId === undefined ? [] : [plain(ENDORSEMENT_OID.cspId, derIa5String(cspId))]),
  ]
}

function plain(oid: string, value: Uint8Array): Extension {
  return { oid, critical: false, value }
}

function issue(
  identity: ChainIdentity,
  [issuer, subject]: readonly [ChainRole, ChainRole],
  spki: Uint8Array,
  signer: Signer,
  extensions: readonly Extension[],
  serial: number,
): Uint8Array<ArrayBuffer> {
  const { naming, line, notBefore, notAfter } = identity
  return issueCertificate(
    {
      serial,
      issuer: chainName(naming, issuer, line),
      subject: chainName(naming, subject, line),
      notBefore,
      notAfter,
      spki,
      extensions,
    },
    signer,
  )
}
