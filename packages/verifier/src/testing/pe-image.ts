/** Tests only: an EFI application that no firmware would start. */

/** The smallest PE32+ image: one section, a certificate at the end. */
export function peImage(certificate: Uint8Array): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(0x400 + certificate.length)
  const view = new DataView(image.buffer)
  view.setUint16(0, 0x5a4d, true)
  view.setUint32(60, 0x40, true)
  view.setUint32(0x40, 0x4550, true)
  view.setUint16(0x46, 1, true)
  view.setUint16(0x54, 0xf0, true)
  view.setUint16(0x58, 0x20b, true)
  view.setUint32(0x58 + 60, 0x200, true)
  view.setUint32(0x58 + 108, 16, true)
  view.setUint32(0x58 + 112 + 36, certificate.length, true)
  view.setUint32(0x148 + 16, 0x200, true)
  view.setUint32(0x148 + 20, 0x200, true)
  image.fill(7, 0x200, 0x400)
  image.set(certificate, 0x400)
  return image
}
