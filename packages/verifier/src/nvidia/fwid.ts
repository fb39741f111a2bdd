/** The firmware id (FWID) in a device's leaf certificate, TCG DICE Attestation Architecture section 6.1. */
import { FormatError } from '../bytes/format-error.ts'
import { DerReader, contextTag } from '../formats/der-reader.ts'
import { OID } from '../formats/x509-algorithm.ts'
import { extensionValue } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'

/** Hopper and LS10: `SEQUENCE { version, device key, FWID }`. */
const COMPOSITE_DEVICE_ID = '2.23.133.5.4.1'
/** Blackwell: DiceTcbInfo. */
const DICE_TCB_INFO = '2.23.133.5.4.1.1'
const FWIDS = contextTag(6, 'constructed')
const FORMAT = 'DICE extension'

export function hasFwid(certificate: Certificate): boolean {
  return [COMPOSITE_DEVICE_ID, DICE_TCB_INFO].some(
    (oid) => extensionValue(certificate, oid) !== undefined,
  )
}

/** 48 bytes, SHA-384; undefined when the certificate has none. @throws FormatError */
export function readFwid(certificate: Certificate): Uint8Array | undefined {
  const composite = extensionValue(certificate, COMPOSITE_DEVICE_ID)
  if (composite !== undefined) return readComposite(composite)
  const tcbInfo = extensionValue(certificate, DICE_TCB_INFO)
  return tcbInfo === undefined ? undefined : readTcbInfo(tcbInfo)
}

function readComposite(value: Uint8Array): Uint8Array {
  const outer = new DerReader(FORMAT, value)
  const reader = outer.sequence('CompositeDeviceID')
  outer.end()
  reader.smallInteger('version')
  reader.sequence('deviceID')
  const fwid = readDigest(reader)
  reader.end()
  return fwid
}

function readTcbInfo(value: Uint8Array): Uint8Array {
  const outer = new DerReader(FORMAT, value)
  const reader = outer.sequence('DiceTcbInfo')
  outer.end()
  let fwid: Uint8Array | undefined
  while (!reader.done) {
    const element = reader.any('DiceTcbInfo')
    if (element.tag !== FWIDS) continue
    if (fwid !== undefined) reader.fail('fwids', 'twice')
    const list = reader.open(element)
    fwid = readDigest(list)
    list.end()
  }
  return fwid ?? reader.fail('fwids', 'is missing')
}

function readDigest(outer: DerReader): Uint8Array {
  const reader = outer.sequence('FWID')
  if (reader.oid('hashAlg') !== OID.sha384) reader.fail('hashAlg', 'not SHA-384')
  const digest = reader.octetString('digest')
  reader.end()
  if (digest.length !== 48) throw new FormatError(FORMAT, 'digest', 0, 'not 48 bytes')
  return digest
}
