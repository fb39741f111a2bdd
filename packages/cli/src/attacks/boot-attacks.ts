/** Attacks on the start of a guest, each with a real boot. */
import { randomBytes } from 'node:crypto'
import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_IMAGE, MANIFEST_FILE } from '@cloister/image/images'
import { openVmHost } from '@cloister/launcher/open-vm-host'
import { startVm } from '@cloister/launcher/start-vm'
import type { VmSpec } from '@cloister/launcher/vm-spec'
import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
  parseInitdata,
  parseWorkload,
} from '@cloister/protocol/initdata'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { awaitRunning } from '../workload/await-running.ts'
import type { Attack, Battlefield, Refusal } from './attack.ts'

/** A guest that has neither started nor ended by then hangs. */
const BOOT_TIMEOUT_MS = 120_000

/** The host's copy of the guest image with another command line: the digest of what runs is then no Reference Value. */
const commandLineChanged: Attack = {
  name: 'command-line-changed',
  story: 'boot the guest with a command line that asks for a shell',
  expected: ['release.measurement-unknown'],
  async attempt(field) {
    const name = `tampered-${randomBytes(4).toString('hex')}`
    const directory = join(field.directories.images, name)
    try {
      await copyTampered(
        join(field.directories.images, DEFAULT_IMAGE),
        directory,
        name,
        field.guestImage.manifest,
      )
      return await runUnder(field, name)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
}

async function copyTampered(
  from: string,
  to: string,
  name: string,
  manifest: GuestImageManifest,
): Promise<void> {
  await mkdir(to, { recursive: true })
  for (const { file } of [manifest.kernel, manifest.initrd, manifest.root])
    await symlink(join(from, file), join(to, file))
  const { snp } = manifest.firmware
  if (snp !== undefined) await cp(join(from, snp.file), join(to, snp.file))
  const { commandLines } = manifest
  // Our initrd ignores `init=`, so this guest goes on to the broker, and it is the broker who must notice.
  const simulated = `${commandLines.simulated} init=/bin/sh`
  const tampered = { ...manifest, name, commandLines: { ...commandLines, simulated } }
  await writeFile(join(to, MANIFEST_FILE), JSON.stringify(tampered))
}

/** Starts the registered workload again, by hostd, under another guest image. */
async function runUnder(field: Battlefield, guestImage: string): Promise<Refusal> {
  const hostd = await field.hostd()
  const name = `${field.workload}-tampered`
  const workload = { ...parseWorkload(parseInitdata(field.initdata)), name } as WorkloadInput
  const revisions = (await field.broker.workloads()).filter((entry) => entry.name === name)
  const revision = Math.max(0, ...revisions.map((entry) => entry.revision)) + 1
  const initdata = encodeInitdata(
    initdataOf({ ...workload, revision, network: { targets: ['broker', 'registry'] } }),
  )
  await field.broker.putWorkload(name, initdata)
  const since = Date.now()
  await hostd.start(
    {
      name,
      initdata: Buffer.from(initdata).toString('base64'),
      guestImage,
      tee: 'simulated',
      cpus: 1,
      memoryMiB: 512,
      scratchMiB: 256,
      targets: {
        broker: { tcp: new URL(field.broker.pinned.url).host },
        registry: { layout: field.layout },
      },
    },
    { signal: field.signal },
  )
  try {
    await awaitRunning(name, {
      hostd,
      broker: field.broker,
      signal: AbortSignal.any([field.signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)]),
    })
    return { code: undefined, by: 'broker' }
  } catch (error) {
    return await refusalSince(field, since, CloisterError.from(error))
  } finally {
    await hostd.stop(name, { force: true }).catch(() => undefined)
    await hostd.remove(name).catch(() => undefined)
  }
}

/** The broker's own reason, which the host is not told. */
async function refusalSince(
  { broker }: Battlefield,
  since: number,
  seen: CloisterError,
): Promise<Refusal> {
  const entries = await broker.audit({ limit: 20 })
  const refused = entries.find(
    ({ kind, outcome, time }) => kind !== 'admin' && outcome === 'refused' && time >= since,
  )
  return { code: refused?.code ?? seen.code, by: refused === undefined ? 'guest' : 'broker' }
}

/** A launch whose HOST_DATA is the registered one, with another initdata on the disk. */
const initdataSwapped: Attack = {
  name: 'initdata-swapped',
  story: 'launch with the registered digest, but put another initdata on the disk',
  expected: ['initdata.mismatch'],
  async attempt(field) {
    const workload = parseWorkload(parseInitdata(field.initdata)) as WorkloadInput
    const swapped = encodeInitdata(
      initdataOf({ ...workload, hostPolicy: { exec: true, readStdout: true } }),
    )
    return await bootAlone(field, {
      hostData: initdataDigest(field.initdata),
      initdataDisk: encodeInitdataDisk(swapped),
    })
  },
}

const initdataMissing: Attack = {
  name: 'initdata-missing',
  story: 'launch without any initdata and with zero HOST_DATA',
  expected: ['agent.disk-missing'],
  attempt: async (field) => await bootAlone(field, { hostData: new Uint8Array(32) }),
}

/** Boots by the launcher itself, as a host may, and gives the code with which the guest ended itself. */
async function bootAlone(
  { directories, guestImage, signal }: Battlefield,
  lies: Pick<VmSpec, 'hostData'> & Partial<Pick<VmSpec, 'initdataDisk'>>,
): Promise<Refusal> {
  const id = `atk-${randomBytes(3).toString('hex')}`
  const { paths, manifest } = guestImage
  await using vm = await startVm(
    {
      id,
      runtimeDirectory: join(directories.runtime, id),
      stateDirectory: join(directories.hostd, id),
      tee: 'simulated',
      mode: 'simulated',
      boot: {
        kernel: paths.kernel,
        initrd: paths.initrd,
        root: paths.root,
        ...(paths.snpFirmware !== undefined && { firmware: paths.snpFirmware }),
      },
      commandLine: manifest.commandLines.simulated,
      cpus: 1,
      memoryMiB: 512,
      scratchMiB: 128,
      ports: [],
      ...lies,
    },
    await openVmHost(directories),
  )
  const timeout = sleep(BOOT_TIMEOUT_MS, undefined, { signal, ref: false })
  const exit = await Promise.race([vm.exited, timeout])
  return { code: exit?.guestCode, by: 'guest' }
}

export const BOOT_ATTACKS: readonly Attack[] = [
  commandLineChanged,
  initdataSwapped,
  initdataMissing,
]
