/** A document in whatever form somebody saved it: raw, hex or base64. */
import { recogniseBinary } from '../formats/binary-text.ts'

/** @throws FormatError when none of the forms fits */
export function recogniseNitroDocument(bytes: Uint8Array): Uint8Array {
  // An array of four, with or without tag 18: neither 0x84 nor 0xd2 begins a text.
  return recogniseBinary('Nitro document', bytes, [0x84, 0xd2])
}
