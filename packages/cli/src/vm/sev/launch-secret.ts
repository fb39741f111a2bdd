/**
 * What goes into a guest of SEV before it runs: the table in which its kernel finds secrets by GUID (`/sys/kernel/security/secrets/coco/GUID`,
 * Linux's drivers/virt/coco/efi_secret), and the packet that carries it (AMD 55766, LAUNCH_SECRET).
 */
import { createCipheriv, randomBytes } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import { guidToBytes } from '@cloister/verifier/formats/guid'
import { hmac, u32, type TransportKeys } from './launch-session.ts'

const TABLE_GUID = '1e74f542-71dd-4d66-963e-ef4287ff173b'
/** A disk's passphrase, as boot loaders in firmware look for it. */
export const DISK_SECRET_GUID = '736869e5-84f0-4973-92ec-06879ce3da0b'
const ENTRY_HEADER_BYTES = 20
const BLOCK_BYTES = 16
/** First byte of the MAC's input. */
const SECRET_CONTEXT = 0x01
const NO_FLAGS = 0

export interface LaunchSecret {
  readonly guid: string
  readonly value: Uint8Array
}

/**
 * Header GUID and length of the whole, then each secret's GUID, length and bytes; zeros up to whole blocks.
 *
 * @param areaBytes - room in the guest, of the firmware's table
 * @throws CloisterError `cli.usage`
 */
export function encodeSecretTable(secrets: readonly LaunchSecret[], areaBytes: number): Buffer {
  const entries = secrets.flatMap(({ guid, value }) => [
    guidToBytes(guid),
    u32(ENTRY_HEADER_BYTES + value.length),
    value,
  ])
  const used = ENTRY_HEADER_BYTES + entries.reduce((sum, { length }) => sum + length, 0)
  const size = Math.ceil(used / BLOCK_BYTES) * BLOCK_BYTES
  if (size > areaBytes)
    throw new CloisterError('cli.usage', {
      why: 'the launch secrets are too large for the firmware',
      expected: `${areaBytes} bytes with their table`,
      received: `${size} bytes`,
    })
  const table = Buffer.concat([guidToBytes(TABLE_GUID), u32(used), ...entries])
  return Buffer.concat([table, Buffer.alloc(size - used)])
}

/**
 * @param measure - 32 bytes, as the owner found them right: the packet opens in that launch alone
 * @returns base64, each
 */
export function sealSecret(
  table: Uint8Array,
  { tek, tik }: TransportKeys,
  measure: Uint8Array,
  iv: Uint8Array = randomBytes(BLOCK_BYTES),
): { readonly header: string; readonly secret: string } {
  const cipher = createCipheriv('aes-128-ctr', tek, iv)
  const data = Buffer.concat([cipher.update(table), cipher.final()])
  const flags = u32(NO_FLAGS)
  // Of the guest's memory, and as transported: nothing is compressed.
  const length = u32(data.length)
  const mac = hmac(tik, Uint8Array.of(SECRET_CONTEXT), flags, iv, length, length, data, measure)
  const header = Buffer.concat([flags, iv, mac])
  return { header: header.toString('base64'), secret: data.toString('base64') }
}
