/** What the program of `program.S` wrote. */
import { ByteReader } from '@cloister/verifier/bytes/reader'
import { guidFromBytes } from '@cloister/verifier/formats/guid'
import { variableKey, type MachineRecord } from '@cloister/verifier/tdx/machine-events'

const FORMAT = 'answer of the machine'
/** An entry of fw_cfg's directory: size and item, big-endian, two reserved bytes, then the name. */
const NAME_BYTES = 56
const MAX_FILES = 4096
const GUID_BYTES = 16

/** @throws FormatError for one that is cut short */
export function readAnswer(answer: Uint8Array): MachineRecord {
  const reader = new ByteReader(FORMAT, answer)
  const fwCfg = readFiles(reader)
  const bootMenu = reader.bytes(2, 'BootMenu')
  const smbios = readBlock(reader, 'SMBIOS')
  const variables = new Map<string, Uint8Array>()
  for (;;) {
    const wide = readBlock(reader, 'name')
    if (wide.length === 0) break
    const name = Buffer.from(wide.subarray(0, -2)).toString('utf16le')
    const vendor = guidFromBytes(readBlock(reader, 'vendor').subarray(0, GUID_BYTES))
    variables.set(variableKey(name, vendor), readBlock(reader, 'data'))
  }
  reader.end()
  return { fwCfg, bootMenu, ...(smbios.length > 0 && { smbios }), variables }
}

function readFiles(reader: ByteReader): Map<string, Uint8Array> {
  const count = reader.u32be('count')
  if (count > MAX_FILES) reader.fail('count', 0, 'too many files')
  const entries = Array.from({ length: count }, () => {
    const size = reader.u32be('size')
    reader.u32be('item')
    const name = Buffer.from(reader.bytes(NAME_BYTES, 'name')).toString('latin1')
    return { size, name: name.slice(0, name.indexOf('\0')) }
  })
  return new Map(entries.map(({ name, size }) => [name, reader.bytes(size, name)]))
}

function readBlock(reader: ByteReader, field: string): Uint8Array {
  return reader.bytes(reader.u32le(`length of ${field}`), field)
}
