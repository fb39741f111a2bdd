/** Texts of UEFI device paths (UEFI specification, 10.3 and 10.6): where a boot application came from. Never measured truth: a hint. */
import { toHex } from '../bytes/hex.ts'
import { ByteReader } from '../bytes/reader.ts'
import { guidFromBytes } from '../formats/guid.ts'
import { utf16 } from './uefi-variable.ts'

const END = 0x7f
const MAX_NODES = 64
const HEADER = 4
/** EISA ids: three letters in five bits each, then four hexadecimal digits. */
const EISA_LETTERS = '@ABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** One text a node. @throws FormatError */
export function devicePathTexts(bytes: Uint8Array): string[] {
  const reader = new ByteReader('device path', bytes)
  const texts: string[] = []
  while (reader.left > 0) {
    const start = reader.offset
    const type = reader.u8('type')
    const subtype = reader.u8('subtype')
    const length = reader.u16le('length')
    if (length < HEADER) reader.fail('length', start + 2, `${length}`)
    const data = reader.bytes(length - HEADER, 'data')
    if (type === END) break
    if (texts.length === MAX_NODES) reader.fail('nodes', start, 'too many')
    texts.push(nodeText(type, subtype, data))
  }
  return texts
}

function nodeText(type: number, subtype: number, data: Uint8Array): string {
  const reader = new ByteReader('device path', data)
  switch (`${type}/${subtype}`) {
    case '1/1': {
      const functionNumber = reader.u8('function')
      return `Pci(${functionNumber},${reader.u8('device')})`
    }
    case '2/1': {
      const id = reader.u32le('hid')
      return `ACPI(${eisaText(id)},${reader.u32le('uid')})`
    }
    case '4/1':
      return hardDriveText(reader)
    case '4/3': {
      const vendor = guidFromBytes(reader.bytes(16, 'vendor')).toUpperCase()
      return `VenMedia(${vendor},${toHex(reader.rest())})`
    }
    case '4/4':
      return `File(${utf16(data).replace(/\0$/, '')})`
    default:
      return `Path(${type},${subtype},${toHex(data)})`
  }
}

function eisaText(id: number): string {
  const vendor = id & 0xffff
  const letters = [10, 5, 0].map((shift) => EISA_LETTERS.charAt((vendor >> shift) & 31)).join('')
  return letters + (id >>> 16).toString(16).toUpperCase().padStart(4, '0')
}

function hardDriveText(reader: ByteReader): string {
  const partition = reader.u32le('partition')
  const start = reader.u64le('start').toString(16)
  const size = reader.u64le('size').toString(16)
  const signature = reader.bytes(16, 'signature')
  const format = reader.u8('format')
  const kind = reader.u8('signature type')
  const id = kind === 2 ? guidFromBytes(signature).toUpperCase() : toHex(signature)
  return `HD(${partition},${format === 2 ? 'GPT' : 'MBR'},${id},0x${start},0x${size})`
}
