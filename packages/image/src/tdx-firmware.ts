/**
 * Firmware for TDX from Debian's, which comes with Microsoft's keys for Secure Boot: without them. A TD boots a kernel that nobody but its owner vouches for,
 * by its measurement; keys in a file that the host hands over would protect nothing, and would keep that kernel from starting.
 *
 * UEFI Platform Initialization 1.8, volume 3, "Firmware Volume"; EDK2 MdeModulePkg/Include/Guid/VariableFormat.h.
 */
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { equalBytes } from '@cloister/verifier/bytes/equal'
import { guidToBytes } from '@cloister/verifier/formats/guid'

const FORMAT = 'TDX firmware'
const VOLUME = { signature: 40, headerLength: 48 } as const
const VOLUME_SIGNATURE = 0x4856465f
const STORE = { size: 16, header: 28 } as const
const AUTHENTICATED_VARIABLES = guidToBytes('aaf32c78-947b-439a-a180-2e144ec37792')
const ERASED = 0xff

/** The file with an empty variable store. @throws FormatError when it does not begin with one */
export function withoutVariables(firmware: Uint8Array): Uint8Array {
  const view = new DataView(firmware.buffer, firmware.byteOffset, firmware.length)
  const fail = (field: string, offset: number, problem: string) =>
    new FormatError(FORMAT, field, offset, problem)
  if (firmware.length < 64 || view.getUint32(VOLUME.signature, true) !== VOLUME_SIGNATURE)
    throw fail('volume', VOLUME.signature, 'does not begin with a firmware volume')
  const store = view.getUint16(VOLUME.headerLength, true)
  const begin = store + STORE.header
  if (
    begin > firmware.length ||
    !equalBytes(firmware.subarray(store, store + 16), AUTHENTICATED_VARIABLES)
  )
    throw fail('variable store', store, 'is not of authenticated variables')
  const end = store + view.getUint32(store + STORE.size, true)
  if (end < begin || end > firmware.length) throw fail('variable store', store, 'size is wrong')
  return Uint8Array.from(firmware).fill(ERASED, begin, end)
}
