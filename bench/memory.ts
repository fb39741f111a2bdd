/** Anonymous memory (RssAnon) of the idle services, each fresh; the whole RSS, some 40 MiB of which is Node's own binary, stands in the name. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HostdClient, hostdSocket } from '@cloister/hostd/client'
import { directories } from '@cloister/protocol/directories'
import type { Figure } from './figure.ts'

const ROOT = join(import.meta.dirname, '..')
/** The broker looks every 10 s whether it is idle, and gives back then what its start has left. */
const SETTLE_MS = 13_000
const PROMISES_MIB = { hostd: 48, broker: 64 } as const

export async function run(): Promise<Figure[]> {
  const work = mkdtempSync(join(tmpdir(), 'cloister-bench-memory-'))
  const environment = {
    ...process.env,
    CLOISTER_HOME: join(work, 'home'),
    CLOISTER_RUNTIME_DIR: join(work, 'run'),
  }
  const places = directories(environment)
  try {
    // Twice: the second start finds the compile cache that the first has written, as every start but the first does.
    for (const round of [1, 2]) {
      cloister(['broker', 'start', '--detach', '--listen', '127.0.0.1:18467', '-q'], environment)
      cloister(['ps', '-q'], environment)
      if (round === 1) stop(environment)
    }
    await sleep(SETTLE_MS)
    const hostd = await new HostdClient(hostdSocket(places)).info()
    const broker = Number(readFileSync(join(places.broker, 'pid'), 'utf8'))
    return [figure('hostd', hostd.pid), figure('broker', broker)]
  } finally {
    stop(environment)
    rmSync(work, { recursive: true, force: true })
  }
}

function figure(name: keyof typeof PROMISES_MIB, pid: number): Figure {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mebibytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024
  const ours = mebibytes('RssAnon')
  const promise = PROMISES_MIB[name]
  return {
    name: `${name} idle, anonymous (RSS ${mebibytes('VmRSS').toFixed(0)} MiB)`,
    unit: 'MiB',
    floor: 0,
    ours,
    promise: `at most ${promise} MiB`,
    held: ours <= promise,
  }
}

function stop(environment: NodeJS.ProcessEnv): void {
  for (const words of [
    ['hostd', 'stop'],
    ['broker', 'stop'],
  ])
    cloister([...words, '-q'], environment)
}

function cloister(words: readonly string[], environment: NodeJS.ProcessEnv): void {
  execFileSync(join(ROOT, 'cloister'), words, {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}
