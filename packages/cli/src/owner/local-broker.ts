/** The broker on the owner's machine: run here, or found and started in the background. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BROKER_ENVIRONMENT, BROKER_NODE_OPTIONS } from '@cloister/broker/node-options'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { freePort } from '../free-port.ts'
import { adminPublicKey, openAdminKey } from './admin-key.ts'
import { BrokerClient, openBroker } from './broker-client.ts'
import { readFetchSetting } from './fetch-setting.ts'
import { pinBroker, readPinnedBroker } from './pinned-broker.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** Chosen when no broker was pinned before. */
export const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 8465 }

/** A new broker makes its keys first; slow machines need a moment. */
const START_TIMEOUT_MS = 20_000
/** One that ended at once may have lost its port to a broker that another command started, which is about to answer. */
const LOST_RACE_MS = 2000

/** Runs a broker until the signal fires, pinning it for the owner. @throws CloisterError `broker.*` */
export async function serveBroker(
  directories: Directories,
  options: {
    listen: ListenAddress
    signal: AbortSignal
    started: (url: string) => void
  },
): Promise<void> {
  const { startBroker } = await import('@cloister/broker')
  const fetching = readFetchSetting(directories)
  const broker = await startBroker({
    directory: directories.broker,
    listen: options.listen,
    adminKeys: [adminPublicKey(openAdminKey(directories))],
    ...(fetching !== undefined && {
      fetchEndorsements: { address: fetching.kds, intel: { address: fetching.pcs } },
    }),
  })
  await using _ = broker
  pinBroker(directories, { url: broker.url, spki: [broker.spki], tokenSigner: broker.tokenSigner })
  const pidFile = join(directories.broker, 'pid')
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  options.started(broker.url)
  const { promise, resolve } = Promise.withResolvers<void>()
  options.signal.addEventListener('abort', () => {
    resolve()
  })
  await promise
  rmSync(pidFile, { force: true })
}

/**
 * The pinned broker when it answers; else one is started in the background, at the address wanted, the pinned one or the default.
 *
 * @param wanted - where to start one; a broker that answers already stays where it is
 * @throws CloisterError `owner.broker-unreachable` when it does not come up; the log's path is in `where`
 */
export async function ensureBroker(
  directories: Directories,
  signal: AbortSignal,
  wanted?: ListenAddress,
): Promise<BrokerClient> {
  const pinned = readPinnedBroker(directories)
  if (pinned !== undefined) {
    const client = new BrokerClient(pinned, openAdminKey(directories), signal)
    if (await answers(client)) return client
  }
  const listen = wanted ?? (pinned === undefined ? await freeListen() : addressOf(pinned.url))
  const child = spawnBroker(directories, listen)
  let deadline = Date.now() + START_TIMEOUT_MS
  child.once('exit', () => {
    deadline = Math.min(deadline, Date.now() + LOST_RACE_MS)
  })
  while (Date.now() < deadline) {
    await sleep(50, undefined, { signal })
    if (readPinnedBroker(directories) === undefined) continue
    const client = openBroker(directories, signal)
    if (await answers(client)) return client
  }
  throw new CloisterError('owner.broker-unreachable', {
    where: logFile(directories),
    received: readFileSync(logFile(directories), 'utf8').trim().slice(-300),
  })
}

/** Ends the broker of this home and waits until it is gone. @returns whether one ran */
export async function stopBroker(directories: Directories, signal: AbortSignal): Promise<boolean> {
  const pid = Number(readIfPresent(join(directories.broker, 'pid')) ?? '')
  if (!Number.isInteger(pid) || pid < 2 || !isBroker(pid)) return false
  process.kill(pid, 'SIGTERM')
  while (isBroker(pid)) await sleep(20, undefined, { signal })
  return true
}

/** A pid alone may belong to another program by now. */
function isBroker(pid: number): boolean {
  const words = readIfPresent(`/proc/${pid}/cmdline`)?.split('\0') ?? []
  return words.some((word) => word.endsWith('/cli/src/main.ts')) && words.includes('broker')
}

function readIfPresent(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

async function answers(client: BrokerClient): Promise<boolean> {
  try {
    await client.status()
    return true
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'owner.broker-unreachable') return false
    throw error
  }
}

/** The default port, or any other when somebody else has it: nobody knows this broker yet. */
async function freeListen(): Promise<ListenAddress> {
  return { host: DEFAULT_LISTEN.host, port: await freePort(DEFAULT_LISTEN.port) }
}

function addressOf(url: string): ListenAddress {
  const { hostname, port } = new URL(url)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }
}

function logFile(directories: Directories): string {
  return join(directories.broker, 'broker.log')
}

function spawnBroker(directories: Directories, { host, port }: ListenAddress): ChildProcess {
  mkdirSync(directories.broker, { recursive: true, mode: 0o700 })
  const log = openSync(logFile(directories), 'w', 0o600)
  try {
    const main = join(import.meta.dirname, '../main.ts')
    const words = [main, 'broker', 'start', '--listen', `${host}:${port}`]
    const child = spawn(process.execPath, [...BROKER_NODE_OPTIONS, ...words], {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
      env: {
        ...process.env,
        ...BROKER_ENVIRONMENT,
        CLOISTER_HOME: directories.home,
        CLOISTER_RUNTIME_DIR: directories.runtime,
      },
    })
    // A failed spawn shows as no answer; without a listener it would end the caller.
    child.on('error', () => undefined)
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}
