/**
 * Finds OVMF, the UEFI firmware of VMs that boot their own disk, by the descriptors that distributions install for it
 * (docs/interop/firmware.json of QEMU, `/usr/share/qemu/firmware/*.json`).
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { z } from 'zod'

export interface MachineFirmware {
  /** Absolute path of the code; with Secure Boot it keeps the variables behind SMM. */
  readonly code: string
  /** Absolute path of an empty variable store that fits the code. */
  readonly emptyVariables: string
  /** Absolute path of a store with Microsoft's keys. Absent without Secure Boot. */
  readonly microsoftVariables?: string
}

/** Of administrators, then of packages. */
const DESCRIPTOR_FOLDERS = ['/etc/qemu/firmware', '/usr/share/qemu/firmware']
const MAX_DESCRIPTORS = 100

const DescriptorSchema = z.object({
  'interface-types': z.array(z.string()),
  mapping: z.object({
    device: z.literal('flash'),
    executable: z.object({ filename: z.string().startsWith('/'), format: z.literal('raw') }),
    'nvram-template': z.object({ filename: z.string().startsWith('/'), format: z.literal('raw') }),
  }),
  targets: z.array(z.object({ architecture: z.string(), machines: z.array(z.string()) })),
  features: z.array(z.string()),
})
type Descriptor = z.infer<typeof DescriptorSchema>

/**
 * @param folders - where descriptors stand; absent: where QEMU's documentation has them
 * @throws CloisterError `firmware.missing`
 */
export async function findFirmware(
  { secureBoot }: { readonly secureBoot: boolean },
  folders: readonly string[] = DESCRIPTOR_FOLDERS,
): Promise<MachineFirmware> {
  const found = (await readDescriptors(folders)).filter(isForQ35)
  const empty = found.find(
    ({ features }) =>
      features.includes('secure-boot') === secureBoot &&
      features.includes('requires-smm') === secureBoot &&
      !features.includes('enrolled-keys'),
  )
  const enrolled = found.find(({ features }) =>
    ['secure-boot', 'requires-smm', 'enrolled-keys'].every((name) => features.includes(name)),
  )
  if (empty === undefined || (secureBoot && enrolled === undefined))
    throw new CloisterError('firmware.missing', {
      where: folders.join(', '),
      received: secureBoot ? 'no OVMF with Secure Boot' : 'no OVMF',
    })
  const { executable, 'nvram-template': template } = empty.mapping
  return {
    code: executable.filename,
    emptyVariables: template.filename,
    ...(secureBoot &&
      enrolled !== undefined && {
        microsoftVariables: enrolled.mapping['nvram-template'].filename,
      }),
  }
}

/** In the order of their names, a file of an earlier folder hiding one of the same name. */
async function readDescriptors(folders: readonly string[]): Promise<Descriptor[]> {
  const paths = new Map<string, string>()
  for (const folder of folders)
    for (const name of await readdir(folder).catch(() => []))
      if (name.endsWith('.json') && !paths.has(name)) paths.set(name, join(folder, name))
  const names = [...paths.keys()].toSorted().slice(0, MAX_DESCRIPTORS)
  const read = await Promise.all(names.map((name) => readDescriptor(paths.get(name) ?? '')))
  return read.filter((descriptor) => descriptor !== undefined)
}

/** Absent: of another kind of firmware, or an empty file, by which administrators hide one. */
async function readDescriptor(path: string): Promise<Descriptor | undefined> {
  try {
    return DescriptorSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return undefined
  }
}

function isForQ35({ 'interface-types': interfaces, targets }: Descriptor): boolean {
  return (
    interfaces.includes('uefi') &&
    targets.some(
      ({ architecture, machines }) =>
        architecture === 'x86_64' && machines.some((machine) => machine.startsWith('pc-q35-')),
    )
  )
}
