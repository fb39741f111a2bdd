/** hostd as a whole: takes the home's lock, takes up what a hostd before it left, serves. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import type { Backend } from './backend.ts'
import { hostdSocket } from './client.ts'
import { lockHome } from './home-lock.ts'
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
  /** Settles when a client has asked for the end. */
  readonly shutdownAsked: Promise<void>
}

/**
 * Serves from when this resolves. Disposing of it leaves the guests running.
 *
 * @throws CloisterError `hostd.already-running`
 */
export async function startDaemon({ directories, backend, log }: DaemonOptions): Promise<Daemon> {
  const { hostd: home, runtime } = directories
  const vmFolders = { runtime: join(runtime, 'vm'), state: join(home, 'vms') }
  for (const folder of [home, runtime, vmFolders.runtime, vmFolders.state])
    await mkdir(folder, { recursive: true, mode: 0o700 })
  const lock = lockHome(join(home, 'lock'))
  const store = new RecordStore(join(home, 'workloads'))
  const workloads = new Workloads({ backend, store, vmFolders, home, log })
  await workloads.resume()
  const asked = Promise.withResolvers<void>()
  const socketPath = hostdSocket(directories)
  const server = await serve({
    workloads,
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
    shutdownAsked: asked.promise,
    async [Symbol.asyncDispose]() {
      if (isOver) return
      isOver = true
      await server[Symbol.asyncDispose]()
      await workloads.release()
      lock[Symbol.dispose]()
    },
  }
}
