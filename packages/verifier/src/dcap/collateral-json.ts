/** Collateral in one JSON file, as DCAP tools keep it: texts, hex lists and signatures side by side. */
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import type { DcapEndorsements } from './endorsements.ts'

const FORMAT = 'DCAP collateral'

/** @param bytes - `{"tcb_info", "tcb_info_signature", "qe_identity", …, "root_ca_crl", "pck_crl", "…_issuer_chain"}`. @throws FormatError */
export function parseCollateralJson(bytes: Uint8Array): DcapEndorsements {
  const json = objectOf(FORMAT, 'collateral', parseJson(FORMAT, bytes))
  const text = (name: string) => {
    const value = json[name]
    if (typeof value !== 'string') throw new FormatError(FORMAT, name, 0, 'not text')
    return value
  }
  const signed = (member: string, name: string) =>
    toUtf8(`{"${member}":${text(name)},"signature":"${text(`${name}_signature`)}"}`)
  const chains = ['pck_crl_issuer_chain', 'tcb_info_issuer_chain', 'qe_identity_issuer_chain']
  return {
    certificates: chains.map((name) => toUtf8(text(name))),
    revocationLists: [fromHex(text('root_ca_crl')), fromHex(text('pck_crl'))],
    tcbInfos: [signed('tcbInfo', 'tcb_info')],
    qeIdentities: [signed('enclaveIdentity', 'qe_identity')],
  }
}
