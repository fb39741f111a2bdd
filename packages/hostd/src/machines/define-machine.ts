/** Makes a machine from its definition: its record and the files that outlive its runs. */
import { createHash, randomBytes } from 'node:crypto'
import { chmod, copyFile, stat, statfs, writeFile } from 'node:fs/promises'
import type { SecureBootChoice } from '@cloister/launcher/machine/secure-boot'
import { CloisterError } from '@cloister/protocol/error'
import { parseAnyWorkload, parseInitdata } from '@cloister/protocol/initdata'
import { bootOf, type DefineVmRequest, type VmView } from '@cloister/protocol/hostd-vm-api'
import { roomIn } from '@cloister/protocol/sealed-disk/room'
import { isVmWorkload } from '@cloister/protocol/vm-workload'
import type { Backend } from '../backend.ts'
import { machineFiles, type MachineRecord } from './machine-record.ts'
import { macOf } from './machine-spec.ts'

const MIB = 2 ** 20
/** Disks are sparse: one gets more than is free, but not on a disk that is nearly full. */
const LEAST_FREE_MIB = 512

/** A definition that was looked at, and what is to be made of it. */
export interface MachinePlan {
  readonly record: MachineRecord
  /** Makes the machine's files in its folder. */
  fill(folder: string): Promise<void>
}

/** @throws CloisterError `disk.*`, `guest-image.*`, `initdata.*` */
export async function planMachine(
  backend: Backend,
  request: DefineVmRequest,
  signal: AbortSignal,
): Promise<MachinePlan> {
  const { virtualBytes } = await backend.machines.inspectDisk(request.image.path)
  const initdata = request.measured && Buffer.from(request.measured.initdata, 'base64')
  const view = {
    ...viewOf(request, Math.ceil(virtualBytes / MIB)),
    ...(await measuredView(backend, request, initdata)),
  }
  return {
    record: { version: 1, view, targets: request.targets },
    fill: (folder) => fillFolder(backend, { request, view, folder, initdata, signal }),
  }
}

/**
 * The copy of a disk takes at most what its image takes.
 *
 * @param home - folder on the disk that takes it
 * @throws CloisterError `host.disk-full`
 */
export async function checkDiskSpace(imagePath: string, home: string): Promise<void> {
  const { blocks } = await stat(imagePath)
  const { bavail, bsize } = await statfs(home)
  const wantedMiB = LEAST_FREE_MIB + Math.ceil((blocks * 512) / MIB)
  const freeMiB = Math.floor((bavail * bsize) / MIB)
  if (freeMiB < wantedMiB)
    throw new CloisterError('host.disk-full', {
      where: home,
      expected: `${wantedMiB} MiB free`,
      received: `${freeMiB} MiB`,
    })
}

function viewOf(request: DefineVmRequest, imageMiB: number): VmView {
  const { name, tee, secureBoot, secureBootKeys, vtpm, integrityMonitoring } = request
  const { cpus, memoryMiB, ports, network, image } = request
  const id = randomBytes(6).toString('hex')
  return {
    id,
    name,
    state: 'defined',
    tee,
    boot: request.direct === undefined ? bootOf(tee) : 'direct',
    secureBoot,
    secureBootKeys: secureBootKeys === 'microsoft' ? 'microsoft' : 'own',
    vtpm,
    integrityMonitoring,
    image: { name: image.name, ...(image.sha256 !== undefined && { sha256: image.sha256 }) },
    cpus,
    memoryMiB,
    diskMiB: request.diskMiB ?? imageMiB,
    ports,
    network,
    mac: macOf(id),
    hasSeed: request.seed !== undefined,
    boots: 0,
    createdAt: new Date().toISOString(),
    hasAgent: false,
    stages: [],
  }
}

async function measuredView(
  backend: Backend,
  { measured }: DefineVmRequest,
  initdata: Uint8Array | undefined,
): Promise<Partial<VmView>> {
  if (measured === undefined || initdata === undefined) return {}
  const workload = parseAnyWorkload(parseInitdata(initdata))
  const sealed = isVmWorkload(workload) && workload.vm.disk.kind === 'sealed' && workload.vm.disk
  const { manifest } = await backend.loadGuestImage(measured.guestImage)
  return {
    guestImage: { name: measured.guestImage, imageVersion: manifest.imageVersion },
    initdataDigest: createHash('sha256').update(initdata).digest('hex'),
    vcpuType: measured.vcpuType,
    ...(sealed !== false && { guestDiskMiB: roomIn(sealed.dataBytes) / MIB }),
  }
}

interface Filling {
  readonly request: DefineVmRequest
  readonly view: VmView
  readonly folder: string
  readonly initdata: Uint8Array | undefined
  readonly signal: AbortSignal
}

async function fillFolder(
  { machines }: Backend,
  { request, view, folder, initdata, signal }: Filling,
): Promise<void> {
  const files = machineFiles(folder)
  await machines.importDisk(request.image.path, files.disk, {
    ...(request.diskMiB !== undefined && { sizeBytes: request.diskMiB * MIB }),
    signal,
  })
  if (view.boot === 'firmware')
    await machines.writeVariables(secureBootChoice(request), files.variables)
  if (request.vtpm) await machines.manufactureVtpm(files.vtpm, view.id, signal)
  if (initdata !== undefined) await writeFile(files.initdata, initdata, { mode: 0o600 })
  const { direct, seed } = request
  if (direct !== undefined) await takeDirectBoot(direct, files.direct)
  if (seed === undefined) return
  const bytes = await machines.encodeSeed({
    instanceId: view.id,
    hostname: view.name,
    sshKeys: seed.sshKeys,
    ...(seed.userData !== undefined && { userData: Buffer.from(seed.userData, 'base64') }),
    ...(seed.networkConfig !== undefined && {
      networkConfig: Buffer.from(seed.networkConfig, 'base64'),
    }),
  })
  await writeFile(files.seed, bytes, { mode: 0o600 })
}

async function takeDirectBoot(
  { commandLine, ...paths }: NonNullable<DefineVmRequest['direct']>,
  files: ReturnType<typeof machineFiles>['direct'],
): Promise<void> {
  for (const name of ['firmware', 'kernel', 'initrd'] as const) {
    const path = paths[name]
    const found = await stat(path).catch(() => undefined)
    if (found?.isFile() !== true)
      throw new CloisterError('vm.file-missing', {
        where: path,
        why: 'it is no regular file that hostd can read',
        fix: ['check the path and its permissions'],
      })
    await copyFile(path, files[name])
    // QEMU opens it again, under its own uid; the folder is closed to everybody else.
    await chmod(files[name], 0o644)
  }
  await writeFile(files.commandLine, commandLine, { mode: 0o600 })
}

function secureBootChoice({ secureBoot, secureBootKeys }: DefineVmRequest): SecureBootChoice {
  if (!secureBoot) return 'none'
  if (secureBootKeys === 'microsoft') return 'microsoft'
  const der = (text: string) => Buffer.from(text, 'base64')
  const { pk, kek, db, dbx } = secureBootKeys
  return { pk: der(pk), kek: kek.map(der), db: db.map(der), dbx: dbx.map(der) }
}
