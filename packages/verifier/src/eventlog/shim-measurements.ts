/**
 * What shim measures of itself: the lists that it brings (PCR 14), its SBAT level and the certificate by which it lets GRUB start (PCR 7). Seen in
 * logs of shim 16.1; other versions may differ and are not predicted.
 */
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { ByteReader } from '../bytes/reader.ts'
import { guidToBytes } from '../formats/guid.ts'
import { peSections } from '../formats/pe-sections.ts'

export const SHIM_LOCK = '605dab50-e046-4300-abb6-3dd810dd8b23'
const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
const KNOWN_VERSION = '$Version: 16.1 $'
const DER_SEQUENCE = 0x30
const LIST_HEADER = 28
const OWNER = 16

export interface ShimMeasurements {
  /** EFI_SIGNATURE_DATA of its maker's certificate, by which it checks what it starts. */
  readonly vendorAuthority: Uint8Array
  /** The text that it sets where none was set before. */
  readonly sbatLevel: Uint8Array
  /** Content of each list, as it is measured, in order. */
  readonly lists: Readonly<Record<'MokList' | 'MokListX' | 'MokListTrusted', Uint8Array>>
}

/** Undefined for a shim of another version, or that brings something else than one certificate. @throws FormatError when it is no PE image */
export function shimMeasurements(shim: Uint8Array): ShimMeasurements | undefined {
  const sections = peSections(shim)
  const identity = sections.get('.data.ident')
  const vendor = sections.get('.vendor_cert')
  const levels = sections.get('.sbatlevel')
  const isKnown =
    identity !== undefined && new TextDecoder('latin1').decode(identity).includes(KNOWN_VERSION)
  if (!isKnown || vendor === undefined || levels === undefined) return undefined
  const { authorised, refused } = vendorLists(vendor)
  if (authorised[0] !== DER_SEQUENCE) return undefined
  const authority = concatBytes(guidToBytes(SHIM_LOCK), authorised)
  return {
    vendorAuthority: authority,
    sbatLevel: automaticLevel(levels),
    lists: {
      MokList: concatBytes(listHeader(authorised.length), authority),
      MokListX: refused,
      MokListTrusted: Uint8Array.of(1),
    },
  }
}

/** Sizes of what is allowed and refused, then where each stands in the section. */
function vendorLists(section: Uint8Array) {
  const reader = new ByteReader('shim', section)
  const authorisedSize = reader.u32le('vendor_authorized_size')
  const refusedSize = reader.u32le('vendor_deauthorized_size')
  const authorisedAt = reader.u32le('vendor_authorized_offset')
  const refusedAt = reader.u32le('vendor_deauthorized_offset')
  const part = (at: number, size: number, field: string) => {
    if (at + size > section.length) reader.fail(field, at, 'outside of the section')
    return section.subarray(at, at + size)
  }
  return {
    authorised: part(authorisedAt, authorisedSize, 'vendor_authorized'),
    refused: part(refusedAt, refusedSize, 'vendor_deauthorized'),
  }
}

/** Version, then offsets of two texts from behind it: the level that is set by itself, and the latest. */
function automaticLevel(section: Uint8Array): Uint8Array {
  const reader = new ByteReader('shim', section)
  if (reader.u32le('sbatlevel version') !== 0) reader.fail('sbatlevel version', 0, 'is not 0')
  const start = 4 + reader.u32le('automatic level')
  const end = section.indexOf(0, start)
  if (end < 0) throw new FormatError('shim', 'automatic level', start, 'does not end')
  return section.subarray(start, end)
}

/** EFI_SIGNATURE_LIST of one certificate, up to the entry. */
function listHeader(certificateBytes: number): Uint8Array {
  const sizes = new DataView(new ArrayBuffer(LIST_HEADER - 16))
  sizes.setUint32(0, LIST_HEADER + OWNER + certificateBytes, true)
  sizes.setUint32(8, OWNER + certificateBytes, true)
  return concatBytes(guidToBytes(X509), new Uint8Array(sizes.buffer))
}

/** What the firmware measures of `db`: the entry by which it let an image start. */
export function dbAuthority(
  entries: readonly {
    readonly owner: string
    readonly certificate: Uint8Array
    readonly subject: Uint8Array
  }[],
  image: Uint8Array,
): Uint8Array | undefined {
  // The signer's certificate, in the image's signature, names its issuer as that names itself.
  const signers = entries.filter(({ subject }) => includes(image, subject))
  const [signer, ...others] = signers
  if (signer === undefined || others.length > 0) return undefined
  return concatBytes(guidToBytes(signer.owner), signer.certificate)
}

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  const [first] = part
  if (first === undefined) return false
  for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1))
    if (part.every((byte, index) => bytes[at + index] === byte)) return true
  return false
}
