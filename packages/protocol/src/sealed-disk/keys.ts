/**
 * Every key of a sealed disk, derived from the one secret that the broker releases: HKDF-SHA-256 with the disk's id as salt, so that the
 * same secret under another id opens nothing.
 */
import { hkdfSync } from 'node:crypto'

/** Bytes of the secret at the broker. */
export const DISK_SECRET_BYTES = 32

const INFO = 'cloister/sealed-disk/1/'
const PURPOSES = { passphrase: 'luks-passphrase', mac: 'label-mac', source: 'source' } as const
const KEY_BYTES = 32

export interface DiskKeys {
  /** Opens a key slot of the LUKS2 header. */
  readonly passphrase: Buffer
  /** Authenticates labels and headers. */
  readonly mac: Buffer
  /** Encrypts the content on its way to the first boot. */
  readonly source: Buffer
}

/**
 * @param secret - as the broker keeps it
 * @param id - of the disk, 16 bytes in hex
 * @throws RangeError when the secret has another length
 */
export function diskKeys(secret: Uint8Array, id: string): DiskKeys {
  if (secret.length !== DISK_SECRET_BYTES)
    throw new RangeError(`a disk secret has ${DISK_SECRET_BYTES} bytes, not ${secret.length}`)
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', secret, Buffer.from(id, 'hex'), `${INFO}${purpose}`, KEY_BYTES))
  return {
    passphrase: derive(PURPOSES.passphrase),
    mac: derive(PURPOSES.mac),
    source: derive(PURPOSES.source),
  }
}

/** Overwrites them. What the runtime copied meanwhile it cannot reach. */
export function wipeKeys(keys: DiskKeys): void {
  for (const key of Object.values(keys) as Buffer[]) key.fill(0)
}
