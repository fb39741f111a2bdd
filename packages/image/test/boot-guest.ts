/** Boots an image under QEMU's own emulation and collects what the guest says on its ports. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { GuestImage } from '../src/images.ts'

const QEMU = 'qemu-system-x86_64'
/** Many times what a boot takes on a machine that does nothing else. */
const DEADLINE_MS = 240_000

export interface BootOptions {
  readonly commandLine: string
  /** Instead of the image's own. */
  readonly root?: string
  /** More arguments for QEMU. */
  readonly devices?: readonly string[]
}

export interface Boot {
  /** Names of the stages reached, in order. */
  readonly stages: readonly string[]
  /** The code that the guest gave for its end; absent: none. */
  readonly failure?: string
  /** Lines written to the agent's port. */
  readonly said: readonly string[]
  /** What came out of the serial line. */
  readonly serial: string
}

/** Why guests cannot be booted here; false when they can. */
export const noQemu: string | false =
  spawnSync(QEMU, ['--version']).status === 0 ? false : `${QEMU} is not installed`

/** Settles when the virtual machine has ended; a guest that does not end in time is an error. */
export async function bootGuest(image: GuestImage, options: BootOptions): Promise<Boot> {
  const work = await mkdtemp(join(tmpdir(), 'cloister-boot-'))
  try {
    await writeFile(join(work, 'scratch'), '')
    await truncate(join(work, 'scratch'), 16 << 20)
    await runQemu(qemuArguments(image, options, work))
    const lines = async (file: string) =>
      (await readFile(join(work, file), 'utf8')).split('\n').filter((line) => line !== '')
    const stages = await lines('stage')
    const failure = stages.find((line) => line.startsWith('! '))?.slice(2)
    return {
      stages: stages.filter((line) => /^\d/.test(line)).map((line) => line.split(' ')[1]!),
      ...(failure !== undefined && { failure }),
      said: await lines('agent'),
      serial: await readFile(join(work, 'serial'), 'latin1'),
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

function qemuArguments({ paths }: GuestImage, options: BootOptions, work: string): string[] {
  const { commandLine, root = paths.root, devices = [] } = options
  return [
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'EPYC-Rome'],
    ['-m', '768'],
    ['-kernel', paths.kernel, '-initrd', paths.initrd, '-append', commandLine],
    disk('root', root, 'cloister-root'),
    disk('scratch', join(work, 'scratch'), 'cloister-scratch'),
    ['-netdev', 'user,id=net,restrict=on', '-device', 'virtio-net-pci,netdev=net,romfile='],
    ['-device', 'virtio-serial-pci', '-serial', `file:${join(work, 'serial')}`],
    port('stage', join(work, 'stage'), 'cloister.stage'),
    port('agent', join(work, 'agent'), 'cloister.agent'),
    devices,
  ].flat()
}

export function disk(id: string, file: string, serial: string): string[] {
  const drive = `if=none,id=${id},file=${file},format=raw,readonly=on`
  return ['-drive', drive, '-device', `virtio-blk-pci,drive=${id},serial=${serial}`]
}

export function port(id: string, file: string, name: string): string[] {
  const device = `virtserialport,chardev=${id},name=${name}`
  return ['-chardev', `file,id=${id},path=${file}`, '-device', device]
}

async function runQemu(args: readonly string[]): Promise<void> {
  const qemu = spawn(QEMU, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaints = ''
  qemu.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
  const deadline = setTimeout(() => qemu.kill('SIGKILL'), DEADLINE_MS)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  qemu.once('error', reject).once('close', (status, signal) => {
    if (status === 0) resolve()
    else reject(new Error(`QEMU ended with ${signal ?? status}: ${complaints.slice(-500)}`))
  })
  await promise.finally(() => {
    clearTimeout(deadline)
  })
}
