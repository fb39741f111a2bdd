/**
 * KVM or emulation. /dev/kvm may open, call itself enabled and still not run guests, so KVM is trusted only after a tiny guest
 * came up under it within a time-out. The answer is remembered for this boot of the host, this QEMU and this user.
 */
import { readdir, readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { z } from 'zod'
import { localHostView, type HostView } from './probe/host-view.ts'
import { clearLeftovers } from './leftovers.ts'
import { hostBootId, identifyProcess } from './process-identity.ts'
import type { QemuCapabilities } from './qemu-capabilities.ts'
import { startVm } from './start-vm.ts'
import { writeWhole } from './write-whole.ts'
import type { AcceleratorChoice, BootFiles, VmExit, VmSpec } from './vm-spec.ts'

/** Under KVM the probe guest powers off within two seconds; under TCG, which is not probed, within five. */
const PROBE_TIMEOUT_MS = 10_000

export interface AcceleratorRequest {
  readonly qemu: QemuCapabilities
  /** Where the answer is remembered. */
  readonly cacheFile: string
  /** Folder for the probe guest's directories; a short path. */
  readonly workDirectory: string
  /** The guest image's kernel, initrd and `probe` command line. Absent: KVM cannot be tried and is not used. */
  readonly probe?: { readonly boot: BootFiles; readonly commandLine: string }
}

const RememberedSchema = z.strictObject({
  key: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  reason: z.string().optional(),
})

/** Never throws for what the host lacks: then it is TCG with a reason. */
export async function chooseAccelerator(request: AcceleratorRequest): Promise<AcceleratorChoice> {
  const refusal = await kvmRefusal(localHostView())
  if (refusal !== undefined) return { accelerator: 'tcg', reason: refusal }
  const key = await cacheKey(request.qemu)
  const remembered = await recall(request.cacheFile, key)
  if (remembered !== undefined) return remembered
  if (request.probe === undefined)
    return { accelerator: 'tcg', reason: 'KVM was not tried: there is no guest image yet' }
  return tryKvm(request, request.probe, key)
}

/** What was found earlier in this boot of the host, without trying anything. */
export async function recallAccelerator(
  qemu: QemuCapabilities,
  cacheFile: string,
): Promise<AcceleratorChoice | undefined> {
  return recall(cacheFile, await cacheKey(qemu))
}

async function kvmRefusal(view: HostView): Promise<string | undefined> {
  const access = await view.deviceAccess('/dev/kvm')
  if (access === 'absent') return 'there is no /dev/kvm'
  if (access === 'denied') return '/dev/kvm is closed to QEMU, which runs without privileges'
  return undefined
}

async function tryKvm(
  { qemu, workDirectory, cacheFile }: AcceleratorRequest,
  { boot, commandLine }: NonNullable<AcceleratorRequest['probe']>,
  key: string,
): Promise<AcceleratorChoice> {
  const folders = { runtime: join(workDirectory, 'run'), state: join(workDirectory, 'state') }
  await clearLeftovers(folders, await liveProbes(folders.runtime))
  const id = `${ID_PREFIX}${process.pid}`
  const spec = {
    id,
    runtimeDirectory: join(folders.runtime, id),
    stateDirectory: join(folders.state, id),
    tee: 'simulated',
    mode: 'probe',
    boot: { kernel: boot.kernel, initrd: boot.initrd },
    commandLine,
    cpus: 1,
    memoryMiB: 256,
    scratchMiB: 0,
    hostData: new Uint8Array(32),
    ports: [],
  } as const
  const choice = await bootProbe(spec, qemu)
  await removeEmpty(folders.runtime, folders.state, workDirectory)
  await remember(cacheFile, key, choice)
  return choice
}

/** Folders in which nobody else tries at the same time, inner ones first. */
async function removeEmpty(...folders: readonly string[]): Promise<void> {
  for (const folder of folders) await rmdir(folder).catch(() => {})
}

const ID_PREFIX = 'kvm-probe-'

/** Probe guests whose starter still lives: another process of ours tries at the same time. */
async function liveProbes(folder: string): Promise<Set<string>> {
  const ids = await readdir(folder).catch(() => [])
  const isLive = await Promise.all(
    ids.map((id) => identifyProcess(Number(id.slice(ID_PREFIX.length)))),
  )
  return new Set(ids.filter((_, index) => isLive[index] !== undefined))
}

async function bootProbe(spec: VmSpec, qemu: QemuCapabilities): Promise<AcceleratorChoice> {
  const host = {
    qemu,
    accelerator: 'kvm',
    view: localHostView(),
    openSimulator: noSimulator,
  } as const
  try {
    const vm = await startVm(spec, host)
    const timer = setTimeout(() => void vm.stop({ force: true }), PROBE_TIMEOUT_MS)
    const exit = await vm.exited
    clearTimeout(timer)
    return judge(exit)
  } catch (error) {
    if (!(error instanceof CloisterError)) throw error
    return { accelerator: 'tcg', reason: `QEMU did not start under KVM: ${oneLine(error)}` }
  }
}

function oneLine(error: CloisterError): string {
  return (error.details.received ?? error.message).replaceAll(/\s+/g, ' ').slice(0, 200)
}

/** Only a guest that ran user space and powered off by itself speaks for KVM. */
export function judge({ reason, lastStage, qemuSaid }: VmExit): AcceleratorChoice {
  if (reason === 'guest-shutdown' && lastStage === 'initrd') return { accelerator: 'kvm' }
  const why =
    reason === 'stop-killed'
      ? `hung for ${PROBE_TIMEOUT_MS / 1000} s`
      : `ended (${[reason, qemuSaid]
          .filter((part) => part !== undefined)
          .join(', ')
          .slice(0, 200)})`
  return { accelerator: 'tcg', reason: `KVM opens, but a probe guest ${why} under it` }
}

function noSimulator(): Promise<never> {
  return Promise.reject(new TypeError('a probe guest has no secure processor'))
}

/** Another boot, QEMU or user may get another answer. */
async function cacheKey({ program, version }: QemuCapabilities): Promise<string> {
  return [
    await hostBootId(),
    program,
    `${version.major}.${version.minor}`,
    process.getuid?.() ?? 0,
  ].join(' ')
}

async function recall(path: string, key: string): Promise<AcceleratorChoice | undefined> {
  try {
    const found = RememberedSchema.parse(JSON.parse(await readFile(path, 'utf8')))
    if (found.key !== key) return undefined
    const { accelerator, reason } = found
    return { accelerator, ...(reason !== undefined && { reason }) }
  } catch {
    // Absent or of another version: found out anew.
    return undefined
  }
}

function remember(path: string, key: string, choice: AcceleratorChoice): Promise<void> {
  return writeWhole(path, JSON.stringify({ key, ...choice }))
}
