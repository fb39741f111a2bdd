/** The baseline of a machine that has never run, from its disk image and the Secure Boot variables that it will get. */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readBootChain } from '@cloister/image/disk/read/boot-chain'
import { openDiskImage, type DiskFormat } from '@cloister/image/disk/read/open-disk-image'
import { findFirmware } from '@cloister/launcher/machine/firmware'
import { writeVariables, type SecureBootChoice } from '@cloister/launcher/machine/secure-boot'
import { parseVariableStore } from '@cloister/launcher/machine/variable-store'
import { CloisterError } from '@cloister/protocol/error'
import type { DefineVmRequestInput } from '@cloister/protocol/hostd-vm-api'
import type { IntegrityBaseline } from '@cloister/verifier/eventlog/integrity-baseline'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { predictBoot, type PredictionInput } from '@cloister/verifier/eventlog/predict-boot'
import { unpackedVolumes } from '@cloister/verifier/formats/firmware-volumes'

const QCOW2_MAGIC = 'QFI\u00fb'

export interface PredictedMachine {
  /** Path of the disk image, raw or qcow2. */
  readonly image: string
  readonly secureBoot: boolean
  /** Absent: Microsoft's. `unknown`: keys of its owner's that are not at hand. */
  readonly secureBootKeys: DefineVmRequestInput['secureBootKeys'] | 'unknown'
  readonly signal: AbortSignal
}

/** @throws CloisterError `disk.*`, `disk-image.*` */
export async function predictBaseline(machine: PredictedMachine): Promise<IntegrityBaseline> {
  const { image, signal } = machine
  await using disk = await openDiskImage(image, await formatOf(image), { signal })
  const chain = await readBootChain(disk)
  const secureBoot = machine.secureBoot ? await variablesOf(machine.secureBootKeys) : undefined
  const firmwareVolumes = await volumesOf(machine.secureBoot)
  return predictBoot({
    ...chain,
    ...(secureBoot !== undefined && { secureBoot }),
    ...(firmwareVolumes !== undefined && { firmwareVolumes }),
  })
}

/** Of the firmware on this machine, which is that of the host where both are one. Absent: there is none, or none made as OVMF is. */
async function volumesOf(secureBoot: boolean): Promise<Uint8Array[] | undefined> {
  try {
    return unpackedVolumes(await readFile((await findFirmware({ secureBoot })).code))
  } catch (error) {
    const isAbsent = error instanceof CloisterError && error.code === 'firmware.missing'
    if (!isAbsent && !(error instanceof FormatError)) throw error
    return undefined
  }
}

async function formatOf(path: string): Promise<DiskFormat> {
  try {
    await using file = await open(path)
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return buffer.toString('latin1') === QCOW2_MAGIC ? 'qcow2' : 'raw'
  } catch (cause) {
    throw new CloisterError('disk.unreadable', { where: path, cause })
  }
}

/** Written as a machine gets them, then read again. Absent: they cannot be known here. */
async function variablesOf(
  keys: PredictedMachine['secureBootKeys'],
): Promise<PredictionInput['secureBoot'] | undefined> {
  if (keys === 'unknown') return undefined
  const work = await mkdtemp(join(tmpdir(), 'cloister-variables-'))
  try {
    const path = join(work, 'variables.fd')
    await writeVariables(await findFirmware({ secureBoot: true }), choiceOf(keys), path)
    const variables = parseVariableStore(await readFile(path))
    const dataOf = (name: string) =>
      variables.find((variable) => variable.name === name)?.data ?? new Uint8Array()
    return { PK: dataOf('PK'), KEK: dataOf('KEK'), db: dataOf('db'), dbx: dataOf('dbx') }
  } catch (error) {
    // Without the firmware on this machine its keys stay unknown, as the rest of the firmware does.
    if (error instanceof CloisterError && error.code === 'firmware.missing') return undefined
    throw error
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

function choiceOf(keys: DefineVmRequestInput['secureBootKeys']): SecureBootChoice {
  if (keys === undefined || keys === 'microsoft') return 'microsoft'
  const der = (text: string) => Buffer.from(text, 'base64')
  return {
    pk: der(keys.pk),
    kek: keys.kek.map(der),
    db: keys.db.map(der),
    dbx: (keys.dbx ?? []).map(der),
  }
}
