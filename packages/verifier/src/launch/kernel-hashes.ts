/** The table of kernel, initrd and command line hashes that QEMU gives to OVMF under SEV, SEV-ES and SNP. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { toUtf8 } from '../bytes/text.ts'
import { guidToBytes } from '../formats/guid.ts'

const HEADER = '9438d606-4f22-4cc9-b479-a793d411fd21'
const COMMAND_LINE = '97d02dd8-bd20-4c94-aa78-e7714d36ab2a'
const INITRD = '44baf731-3a2f-4bd7-9af1-41e29169781d'
const KERNEL = '4de79437-abd2-427f-b835-d5b172d2045b'
const TABLE_LENGTH = 168

/** As measured by QEMU; hashing files is the caller's, so that a large one is hashed once and streamed. */
export interface KernelHashes {
  /** SHA-256 of the `-kernel` file, 32 bytes. */
  readonly kernelSha256: Uint8Array
  /** SHA-256 of the `-initrd` file, 32 bytes; absent without initrd. */
  readonly initrdSha256?: Uint8Array
  /** The exact `-append` text, without the closing NUL; absent is the same as empty. */
  readonly commandLine?: string
}

/** 176 bytes: the table, padded with zeros. @throws RangeError for a hash that is not 32 bytes */
export async function kernelHashTable(hashes: KernelHashes): Promise<Uint8Array<ArrayBuffer>> {
  const { kernelSha256, initrdSha256, commandLine = '' } = hashes
  const initrd = initrdSha256 ?? (await runtimeCrypto.digest('SHA-256', new Uint8Array()))
  const line = await runtimeCrypto.digest('SHA-256', toUtf8(`${commandLine}\0`))
  const entry = (guid: string, hash: Uint8Array) => {
    if (hash.length !== 32) throw new RangeError(`a SHA-256 has 32 bytes, not ${hash.length}`)
    return concatBytes(guidToBytes(guid), Uint8Array.of(50, 0), hash)
  }
  return concatBytes(
    guidToBytes(HEADER),
    Uint8Array.of(TABLE_LENGTH, 0),
    entry(COMMAND_LINE, line),
    entry(INITRD, initrd),
    entry(KERNEL, kernelSha256),
    new Uint8Array(8),
  )
}
