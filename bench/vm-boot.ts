/**
 * A VM of the catalogue's Debian with Secure Boot and a vTPM, started by the launcher, until its login prompt stands on the serial console, against plain
 * QEMU with the same disk, firmware, variables, seed and swtpm.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { processorOf } from '@cloister/launcher/drivers/processor'
import { importDisk } from '@cloister/launcher/machine/disk-image'
import { openEkAuthority } from '@cloister/launcher/machine/ek-authority'
import { findFirmware } from '@cloister/launcher/machine/firmware'
import { writeVariables } from '@cloister/launcher/machine/secure-boot'
import { encodeSeed } from '@cloister/launcher/machine/seed'
import { manufactureVtpm } from '@cloister/launcher/machine/vtpm'
import { openVmHost } from '@cloister/launcher/open-vm-host'
import { startVm } from '@cloister/launcher/start-vm'
import type { VmHost } from '@cloister/launcher/vm-host'
import type { VmSpec } from '@cloister/launcher/vm-spec'
import { directories } from '@cloister/protocol/directories'
import { median, type Figure } from './figure.ts'

const ROUNDS = 2
const MEMORY_MIB = 1024
const PROMPT = 'login:'
const TIMEOUT_MS = 300_000
const MOST = 1.05

/** A VM's persistent files, which each boot gets anew. */
const FILES = ['disk.qcow2', 'variables.fd', 'seed.img', 'tpm.key', 'tpm'] as const

export async function run(): Promise<Figure> {
  const work = mkdtempSync(join(tmpdir(), 'cl-bench-boot-'))
  try {
    const host = await openVmHost(directories())
    const original = join(work, 'original')
    const code = await makeMachine(original)
    const floors: number[] = []
    const ours: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      floors.push(
        await timed(original, join(work, `p${round}`), (own) => bootPlain(own, code, host)),
      )
      ours.push(await timed(original, join(work, `o${round}`), (own) => bootOurs(own, code, host)))
    }
    const [floor, own] = [median(floors), median(ours)]
    return {
      name: 'boot of debian-12 to its login prompt',
      unit: 's',
      floor,
      ours: own,
      promise: `at most ${MOST} times`,
      held: own <= floor * MOST,
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** @returns the firmware's code */
async function makeMachine(folder: string): Promise<string> {
  mkdirSync(folder, { mode: 0o700 })
  const image = await ensureCatalogueImage('debian-12', { directories: directories() })
  await importDisk(image.path, join(folder, 'disk.qcow2'))
  const firmware = await findFirmware({ secureBoot: true })
  await writeVariables(firmware, 'microsoft', join(folder, 'variables.fd'))
  const seed = encodeSeed({ instanceId: 'bench', hostname: 'bench', sshKeys: [] })
  writeFileSync(join(folder, 'seed.img'), seed)
  const authority = await openEkAuthority(join(folder, 'authority'))
  const files = { stateDirectory: join(folder, 'tpm'), key: join(folder, 'tpm.key') }
  await manufactureVtpm({ ...files, vmId: 'bench', authority })
  return firmware.code
}

interface Booting {
  /** Of the serial console. */
  readonly socket: string
  readonly end: () => Promise<unknown>
}

/** Seconds of one boot, without the copying before it and the end behind it. */
async function timed(
  original: string,
  own: string,
  boot: (own: string) => Promise<Booting>,
): Promise<number> {
  mkdirSync(own, { mode: 0o700 })
  for (const name of FILES) {
    const [from, to] = [join(original, name), join(own, name)]
    if (name === 'tpm') cpSync(from, to, { recursive: true })
    else copyFileSync(from, to)
  }
  const start = performance.now()
  const { socket, end } = await boot(own)
  try {
    await untilPrompt(socket)
    return (performance.now() - start) / 1000
  } finally {
    await end()
    rmSync(own, { recursive: true, force: true })
  }
}

async function untilPrompt(path: string): Promise<void> {
  const socket = connect(path)
  let text = ''
  const timer = setTimeout(
    () => socket.destroy(new Error(`no prompt: ${text.slice(-500)}`)),
    TIMEOUT_MS,
  )
  try {
    for await (const chunk of socket) {
      text += String(chunk)
      if (text.includes(PROMPT)) return
      text = text.slice(-4096)
    }
    throw new Error(`the console ended: ${text.slice(-500)}`)
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function bootOurs(own: string, code: string, host: VmHost) {
  const vm = await startVm(specOf(own, code), host)
  return { socket: vm.sockets.console, end: () => vm.stop({ force: true }) }
}

function specOf(own: string, code: string): VmSpec {
  return {
    id: 'bench',
    runtimeDirectory: join(own, 'run'),
    stateDirectory: join(own, 'state'),
    tee: 'none',
    mode: 'hardware',
    boot: { code, variables: join(own, 'variables.fd'), secureBoot: true },
    machine: {
      systemDisk: { path: join(own, 'disk.qcow2'), format: 'qcow2' },
      seedDisk: { path: join(own, 'seed.img') },
      vtpm: { stateDirectory: join(own, 'tpm'), key: join(own, 'tpm.key') },
      network: { kind: 'user' },
      hasConsole: true,
    },
    commandLine: '',
    cpus: 1,
    memoryMiB: MEMORY_MIB,
    scratchMiB: 0,
    hostData: new Uint8Array(32),
    ports: [],
  }
}

async function bootPlain(own: string, code: string, host: VmHost) {
  const file = (name: string) => join(own, name)
  const [tpmSocket, socket] = [file('tpm.sock'), file('console.sock')]
  const key = `file=${file('tpm.key')},format=hex,mode=aes-256-cbc`
  const swtpm = spawn(
    'swtpm',
    [
      ['socket', '--tpm2', '--tpmstate', `dir=${file('tpm')}`],
      ['--key', key, '--ctrl', `type=unixio,path=${tpmSocket}`, '--terminate'],
    ].flat(),
  )
  await untilThere(tpmSocket)
  const cpu = await processorOf(specOf(own, code), host)
  const qemu = spawn(
    host.qemu.program,
    [
      ['-machine', 'q35,smm=on', '-accel', host.accelerator, '-cpu', cpu],
      ['-m', String(MEMORY_MIB), '-nodefaults', '-display', 'none'],
      ['-global', 'driver=cfi.pflash01,property=secure,value=on'],
      ['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${code}`],
      ['-drive', `if=pflash,unit=1,format=raw,file=${file('variables.fd')}`],
      ['-drive', `if=virtio,format=qcow2,file=${file('disk.qcow2')}`],
      ['-drive', `if=virtio,format=raw,readonly=on,file=${file('seed.img')}`],
      ['-chardev', `socket,id=tpm,path=${tpmSocket}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
      ['-device', 'tpm-crb,tpmdev=tpm0', '-netdev', 'user,id=net0'],
      ['-device', 'virtio-net-pci,netdev=net0'],
      ['-serial', `unix:${socket},server=on,wait=off`],
    ].flat(),
    { stdio: 'ignore' },
  )
  await untilThere(socket)
  return { socket, end: () => Promise.all([ended(qemu), ended(swtpm)]) }
}

async function untilThere(path: string): Promise<void> {
  while (!existsSync(path)) await sleep(5)
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
