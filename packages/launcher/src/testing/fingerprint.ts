/** By what owners pin a simulated root. */
import { createHash } from 'node:crypto'

/** SHA-256 in lowercase hex. @param der - the root certificate */
export function sha256Hex(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex')
}
