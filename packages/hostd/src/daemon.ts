/** hostd as a whole: takes the home's lock, takes up what a hostd before it left, serves. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import type { Backend } from './backend.ts'
import { ChangeFeed } from './change-feed.ts'
import { hostdSocket } from './client.ts'
import { lockHome } from './home-lock.ts'
import { HostLedger } from './host-ledger.ts'
import { MachineStore } from './machines/machine-store.ts'
import { DUMPS, Machines } from './machines/machines.ts'
import { QuotaFile } from './quota-file.ts'
import { RecordStore } from './record-store.ts'
import { serve } from './server.ts'
import { Workloads } from './workloads.ts'

export interface DaemonOptions {
  readonly directories: Directories
  readonly backend: Backend
  readonly log: (message: string) => void
}

export interface Daemon extends AsyncDisposable {
  readonly socketPath: string
  readonly workloads: Workloads
  readonly machines: Machines
  /** Settles when a client has asked for the end. */
  readonly shutdownAsked: Promise<void>
}

/**
 * Serves from when this resolves. Disposing of it leaves the guests running.
 *
 * @throws CloisterError `hostd.already-running`, `hostd.state-unreadable`
 */
export async function startDaemon({ directories, backend, log }: DaemonOptions): Promise<Daemon> {
  const { hostd: home, runtime } = directories
  const vmFolders = { runtime: join(runtime, 'vm'), state: join(home, 'vms') }
  for (const folder of [home, runtime, vmFolders.runtime, vmFolders.state])
    await mkdir(folder, { recursive: true, mode: 0o700 })
  const quota = await QuotaFile.open(join(home, 'quota.json'))
  const lock = lockHome(join(home, 'lock'))
  const ledger = new HostLedger(quota)
  const common = { backend, vmFolders, ledger, changes: new ChangeFeed(), home, log }
  const workloads = new Workloads({ ...common, store: new RecordStore(join(home, 'workloads')) })
  const machines = new Machines({ ...common, store: new MachineStore(join(home, 'machines')) })
  const kept = new Set([...(await workloads.load()), ...(await machines.load())])
  for (const id of await backend.clearLeftovers(vmFolders, kept))
    log(`${id}: cleared what a VM left behind`)
  await clearMemory(home)
  workloads.resume()
  machines.resume()
  const asked = Promise.withResolvers<void>()
  const socketPath = hostdSocket(directories)
  const server = await serve({
    workloads,
    machines,
    ledger,
    quota,
    changes: common.changes,
    home: directories.home,
    startedAt: new Date().toISOString(),
    shutdown: () => asked.resolve(),
    socketPath,
    log,
  })
  let isOver = false
  return {
    socketPath,
    workloads,
    machines,
    shutdownAsked: asked.promise,
    async [Symbol.asyncDispose]() {
      if (isOver) return
      isOver = true
      await server[Symbol.asyncDispose]()
      await Promise.all([workloads.release(), machines.release()])
      lock[Symbol.dispose]()
    },
  }
}

/** Copies of guests' memory that a killed hostd or caller left. */
async function clearMemory(home: string): Promise<void> {
  for (const name of await readdir(home))
    if (name === DUMPS || name.startsWith('boot-log-'))
      await rm(join(home, name), { recursive: true, force: true })
}
