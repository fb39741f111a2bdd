/**
 * `cloister run` of a small static image, from the command to its first output, against the same QEMU, kernel and root file system until an
 * empty agent prints a line. The ciphertext lies on the host; broker and hostd run already.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildGuestImage } from '@cloister/image/build'
import { loadGuestImage } from '@cloister/image/images'
import { openVmHost } from '@cloister/launcher/open-vm-host'
import { startVm } from '@cloister/launcher/start-vm'
import { buildImage } from '@cloister/oci/build-image'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { directories } from '@cloister/protocol/directories'
import { lowerQuarter, type Figure } from './figure.ts'

const ROOT = join(import.meta.dirname, '..')
const ROUNDS = 5
const CPUS = 1
const MEMORY_MIB = 1024

export async function run(): Promise<Figure> {
  const work = mkdtempSync(join(tmpdir(), 'cloister-bench-run-'))
  const environment = {
    ...process.env,
    CLOISTER_HOME: join(work, 'home'),
    CLOISTER_RUNTIME_DIR: join(work, 'run'),
  }
  const places = directories(environment)
  try {
    cloister(['guest-image', 'build', '-q'], environment)
    const layout = await smallImage(work, places)
    cloister(['broker', 'start', '--detach', '--listen', '127.0.0.1:18466', '-q'], environment)
    await timeRun(layout, 'warm-up', environment)
    const floors: number[] = []
    const ours: number[] = []
    const empty = await emptyImage(places)
    for (let round = 0; round < ROUNDS; round++) {
      floors.push(await timeEmptyAgent(empty, places, round))
      ours.push(await timeRun(layout, `round-${round}`, environment))
    }
    const [floor, own] = [lowerQuarter(floors), lowerQuarter(ours)]
    return {
      name: 'run of a small static image, command to first output',
      unit: 's',
      floor,
      ours: own,
      promise: 'at most 1.5 times an empty agent',
      held: own <= 1.5 * floor,
    }
  } finally {
    for (const words of [
      ['hostd', 'stop'],
      ['broker', 'stop'],
    ])
      cloister([...words, '-q'], environment)
    rmSync(work, { recursive: true, force: true })
  }
}

function cloister(words: readonly string[], environment: NodeJS.ProcessEnv): void {
  execFileSync(join(ROOT, 'cloister'), words, {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

/** A layout with busybox, as the guest image's own package has it. */
async function smallImage(
  work: string,
  { images }: ReturnType<typeof directories>,
): Promise<string> {
  const packages = join(images, 'base', 'packages')
  const archive = readdirSync(packages).find((file) => file.startsWith('busybox-static_'))
  if (archive === undefined) throw new Error('the guest image has no busybox-static')
  execFileSync('dpkg-deb', ['-x', join(packages, archive), join(work, 'busybox')])
  mkdirSync(join(work, 'rootfs/bin'), { recursive: true })
  const found = ['usr/bin/busybox', 'bin/busybox']
    .map((path) => join(work, 'busybox', path))
    .find(existsSync)
  copyFileSync(found ?? '', join(work, 'rootfs/bin/busybox'))
  symlinkSync('busybox', join(work, 'rootfs/bin/echo'))
  const layout = join(work, 'small')
  const sink = await LayoutWriter.open(layout)
  await buildImage({
    sink,
    tag: 'latest',
    layers: [{ directory: join(work, 'rootfs') }],
    config: { Cmd: ['/bin/echo', 'ready'] },
  })
  return layout
}

async function emptyImage(places: ReturnType<typeof directories>) {
  await buildGuestImage({
    directories: places,
    name: 'empty',
    agentEntry: join(ROOT, 'bench/support/empty-agent.mjs'),
  })
  return await loadGuestImage(join(places.images, 'empty'))
}

async function timeEmptyAgent(
  { paths, manifest }: Awaited<ReturnType<typeof emptyImage>>,
  places: ReturnType<typeof directories>,
  round: number,
): Promise<number> {
  const id = `empty-${round}`
  const host = await openVmHost(places)
  const start = performance.now()
  await using vm = await startVm(
    {
      id,
      runtimeDirectory: join(places.runtime, id),
      stateDirectory: join(places.hostd, id),
      tee: 'simulated',
      mode: 'simulated',
      boot: {
        kernel: paths.kernel,
        initrd: paths.initrd,
        root: paths.root,
        ...(paths.snpFirmware !== undefined && { firmware: paths.snpFirmware }),
      },
      commandLine: manifest.commandLines.simulated,
      cpus: CPUS,
      memoryMiB: MEMORY_MIB,
      scratchMiB: 256,
      hostData: new Uint8Array(32),
      initdataDisk: new Uint8Array(512),
      ports: [],
    },
    host,
  )
  const { promise, resolve } = Promise.withResolvers<number>()
  vm.onStage(({ name }) => {
    if (name === 'agent') resolve((performance.now() - start) / 1000)
  })
  return await promise
}

async function timeRun(
  layout: string,
  name: string,
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const words = [
    'run',
    `oci:${layout}:latest`,
    '--name',
    name,
    '--tee',
    'simulated',
    '--logs',
    '--yes',
    '-q',
    '--cpus',
    String(CPUS),
  ]
  const start = performance.now()
  const child = spawn(join(ROOT, 'cloister'), words, {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), ended])
  const seconds = (performance.now() - start) / 1000
  await ended
  cloister(['rm', '--force', name, '-q', '-o', 'name'], environment)
  return seconds
}
