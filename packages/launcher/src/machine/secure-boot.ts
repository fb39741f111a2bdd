/**
 * The UEFI variables of a new VM: Microsoft's Secure Boot keys as the distribution ships them, or the owner's own PK, KEK, db and dbx, which
 * are written straight into the store, as a firmware in setup mode would have done.
 */
import { X509Certificate } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE } from '@cloister/verifier/tdx/rtmr'
import { readError, writeError } from '../vm-files.ts'
import type { MachineFirmware } from './firmware.ts'
import { encodeCertificateLists, encodeDigestList } from './signature-list.ts'
import { ATTRIBUTE, encodeVariableStore, type UefiVariable } from './variable-store.ts'

/** Certificates in DER. What `db` signed boots, unless `dbx` names it. */
export interface SecureBootKeys {
  /** Platform key: who may change the others. */
  readonly pk: Uint8Array
  readonly kek: readonly Uint8Array[]
  readonly db: readonly Uint8Array[]
  /** Certificates that are refused. */
  readonly dbx: readonly Uint8Array[]
  /** SHA-256 Authenticode digests (32 bytes each) of images that are refused. Absent: none. */
  readonly dbxDigests?: readonly Uint8Array[]
}

/** `none`: no keys, so nothing is enforced. */
export type SecureBootChoice = 'none' | 'microsoft' | SecureBootKeys

const MAX_KEYS = 64
const MAX_DIGESTS = 2000
const MAX_CERTIFICATE_BYTES = 16 << 10

/** SignatureOwner of what we write: who put it there, which nothing checks. Random, made once. */
const OWNER = '3a7b1d04-5c1e-4a64-9f0d-6f5a2c9b8e11'
/** gEfiSecureBootEnableDisableGuid: whether the firmware enforces, once there is a PK. */
const SECURE_BOOT_ENABLE = 'f0a30bc7-af08-4556-99c4-001009c93a44'
/** gEfiCustomModeEnableGuid: zero is the standard mode, in which PK and KEK change by signed updates alone. */
const CUSTOM_MODE = 'c076ec0c-7028-4399-a072-71ee5c448b9f'

/**
 * Writes a VM's variable store, which must not exist yet.
 *
 * @param path - absolute; made with mode 0600
 * @throws CloisterError `secure-boot.keys-invalid`, `secure-boot.template-unfit`, `firmware.missing`, `vm.id-taken`, `vm.folder-denied`,
 *   `host.disk-full`
 */
export async function writeVariables(
  firmware: MachineFirmware,
  choice: SecureBootChoice,
  path: string,
): Promise<void> {
  const store = await variableStore(firmware, choice)
  try {
    await writeFile(path, store, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    const named = writeError(error, path)
    const isOurs = !(named instanceof CloisterError && named.code === 'vm.id-taken')
    if (isOurs) await rm(path, { force: true })
    throw named
  }
}

async function variableStore(
  { emptyVariables, microsoftVariables }: MachineFirmware,
  choice: SecureBootChoice,
): Promise<Uint8Array> {
  if (choice === 'none') return readTemplate(emptyVariables)
  if (choice === 'microsoft') {
    if (microsoftVariables === undefined)
      throw new CloisterError('firmware.missing', { received: "no store with Microsoft's keys" })
    return readTemplate(microsoftVariables)
  }
  checkKeys(choice)
  try {
    return encodeVariableStore(await readTemplate(emptyVariables), secureBootVariables(choice))
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof RangeError)) throw error
    throw new CloisterError('secure-boot.template-unfit', {
      where: emptyVariables,
      received: error.message,
      cause: error,
    })
  }
}

async function readTemplate(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    throw readError(error, path)
  }
}

/** PK last, as its arrival ends the setup mode. */
function secureBootVariables(keys: SecureBootKeys): UefiVariable[] {
  const database = (name: string, data: Uint8Array, vendor = EFI_IMAGE_SECURITY_DATABASE) => ({
    name,
    vendor,
    attributes:
      ATTRIBUTE.nonVolatile | ATTRIBUTE.bootService | ATTRIBUTE.runtime | ATTRIBUTE.timeBased,
    timestamp: TIMESTAMP,
    data,
  })
  const flag = (name: string, vendor: string, value: number) => ({
    name,
    vendor,
    attributes: ATTRIBUTE.nonVolatile | ATTRIBUTE.bootService,
    timestamp: new Uint8Array(16),
    data: Uint8Array.of(value),
  })
  const { pk, kek, db, dbx, dbxDigests = [] } = keys
  const refused = [encodeCertificateLists(OWNER, dbx), encodeDigestList(OWNER, dbxDigests)]
  return [
    database('db', encodeCertificateLists(OWNER, db)),
    // A dbx without any entry is no variable.
    ...(dbx.length + dbxDigests.length === 0 ? [] : [database('dbx', Buffer.concat(refused))]),
    database('KEK', encodeCertificateLists(OWNER, kek), EFI_GLOBAL_VARIABLE),
    database('PK', encodeCertificateLists(OWNER, [pk]), EFI_GLOBAL_VARIABLE),
    flag('SecureBootEnable', SECURE_BOOT_ENABLE, 1),
    flag('CustomMode', CUSTOM_MODE, 0),
  ]
}

/** EFI_TIME 2000-01-01: any update that is signed later replaces it. */
const TIMESTAMP = Uint8Array.of(0xd0, 0x07, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

function checkKeys({ pk, kek, db, dbx, dbxDigests = [] }: SecureBootKeys): void {
  const invalid = (where: string, why: string) =>
    new CloisterError('secure-boot.keys-invalid', { where, why })
  for (const [where, keys] of [
    ['PK', [pk]],
    ['KEK', kek],
    ['db', db],
  ] as const)
    if (keys.length === 0) throw invalid(where, 'at least one certificate is needed')
  const all = { PK: [pk], KEK: kek, db, dbx }
  for (const [where, keys] of Object.entries(all)) {
    if (keys.length > MAX_KEYS) throw invalid(where, `more than ${MAX_KEYS} certificates`)
    if (!keys.every(isCertificate)) throw invalid(where, 'it is no X.509 certificate in DER')
  }
  if (dbxDigests.length > MAX_DIGESTS || dbxDigests.some(({ length }) => length !== 32))
    throw invalid('dbx', `digests have 32 bytes and are at most ${MAX_DIGESTS}`)
}

/** Exactly one certificate, without anything behind it. */
function isCertificate(der: Uint8Array): boolean {
  if (der.length > MAX_CERTIFICATE_BYTES) return false
  try {
    return new X509Certificate(der).raw.equals(der)
  } catch {
    return false
  }
}
