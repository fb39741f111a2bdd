/**
 * What a guest shows of its machine, from a folder: fw_cfg's files by their names (also as `cp -rL /sys/firmware/qemu_fw_cfg/by_name/. DIR` leaves them,
 * each as `NAME/raw`), /sys/firmware/dmi/tables/DMI as `DMI`, and UEFI variables as `efivars/NAME-GUID`, with their four bytes of attributes.
 */
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { MachineRecord } from '@cloister/verifier/tdx/machine-events'
import { readInput } from '../read-input.ts'

const MAX_FILES = 1024
const MAX_FILE_BYTES = 4 << 20
const VARIABLES = 'efivars/'
const ATTRIBUTES_BYTES = 4
const SMBIOS = 'DMI'
const BOOT_MENU = 'BootMenu'
const RAW = '/raw'
/** Beside each `raw` in sysfs. */
const SYSFS_EXTRAS = /\/(?:key|name|size)$/

/** @throws CloisterError `cli.file-unreadable` */
export async function readMachineFiles(folder: string): Promise<MachineRecord> {
  const names = await namesIn(folder)
  const fwCfg = new Map<string, Uint8Array>()
  const variables = new Map<string, Uint8Array>()
  let bootMenu: Uint8Array = new Uint8Array(2)
  let smbios: Uint8Array | undefined
  const isSysfs = names.some((name) => name.endsWith(RAW))
  for (const name of names) {
    if (isSysfs && SYSFS_EXTRAS.test(name)) continue
    const content = await readInput(join(folder, name), MAX_FILE_BYTES)
    if (name.startsWith(VARIABLES))
      variables.set(variableOf(name), content.subarray(ATTRIBUTES_BYTES))
    else if (name === SMBIOS) smbios = content
    else if (name === BOOT_MENU) bootMenu = content
    else fwCfg.set(name.endsWith(RAW) ? name.slice(0, -RAW.length) : name, content)
  }
  return { fwCfg, bootMenu, variables, ...(smbios && { smbios }) }
}

/** `NAME-GUID`, whose GUID is lowercase here. */
function variableOf(path: string): string {
  const file = path.slice(VARIABLES.length)
  const guid = file.slice(-36)
  return `${file.slice(0, -36)}${guid.toLowerCase()}`
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    if (files.length > MAX_FILES) throw new Error(`more than ${MAX_FILES} files`)
    return files.map(({ parentPath, name }) =>
      relative(folder, join(parentPath, name)).replaceAll(sep, '/'),
    )
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', {
      where: folder,
      ...(cause instanceof Error && { why: cause.message }),
      cause,
    })
  }
}
