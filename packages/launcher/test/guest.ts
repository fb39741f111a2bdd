/** The guest that integration tests boot: kernel and initrd of the guest image `base`, or nothing when it or QEMU is missing. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import { GuestImageManifestSchema } from '@cloister/protocol/guest-image-manifest'
import { localHostView } from '../src/probe/host-view.ts'
import { askQemu } from '../src/qemu-capabilities.ts'
import type { VmHost } from '../src/vm-host.ts'
import type { BootFiles, VmSpec } from '../src/vm-spec.ts'

export interface TestGuest {
  readonly host: VmHost
  readonly boot: Required<Omit<BootFiles, 'unifiedKernel'>>
  /** By attester mode. */
  readonly commandLines: Readonly<Record<'simulated' | 'probe' | 'debug', string>>
}

/** @returns the reason to skip when there is none */
export async function findGuest(): Promise<TestGuest | string> {
  const image = join(directories().images, 'base')
  const text = await readFile(join(image, 'manifest.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return `no guest image at ${image}: run cloister guest-image build`
  const manifest = GuestImageManifestSchema.parse(JSON.parse(text))
  const { kernel, initrd, root, firmware } = manifest
  if (firmware.snp === undefined) return 'the guest image was built without the AmdSev firmware'
  const qemu = await askQemu().catch(() => undefined)
  if (qemu === undefined) return 'QEMU is not installed'
  const path = (file: string) => join(image, file)
  return {
    host: {
      qemu,
      accelerator: 'tcg',
      view: localHostView(),
      openSimulator: () => Promise.reject(new Error('not used')),
    },
    boot: {
      kernel: path(kernel.file),
      initrd: path(initrd.file),
      root: path(root.file),
      firmware: path(firmware.snp.file),
    },
    commandLines: manifest.commandLines,
  }
}

let count = 0

/** A description of a small guest in directories of its own, which are gone after the test. */
export async function describeGuest(
  t: TestContext,
  guest: TestGuest,
  change: Partial<VmSpec> = {},
): Promise<VmSpec> {
  const folder = await mkdtemp(join(tmpdir(), 'vm-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const id = `test-${process.pid}-${count++}`
  return {
    id,
    runtimeDirectory: join(folder, 'run', id),
    stateDirectory: join(folder, 'state', id),
    tee: 'simulated',
    mode: 'probe',
    boot: { kernel: guest.boot.kernel, initrd: guest.boot.initrd },
    commandLine: guest.commandLines.probe,
    cpus: 1,
    memoryMiB: 256,
    scratchMiB: 0,
    hostData: new Uint8Array(32),
    ports: [],
    ...change,
  }
}

/** A kernel without a usable init that stands still when it panics: a guest that hangs. */
export const HANGING = { commandLine: 'panic=0 rdinit=/none' } as const
