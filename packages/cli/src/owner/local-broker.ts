/** The broker on the owner's machine: run here, or found and started in the background. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrokerOptions } from '@cloister/broker'
import { BROKER_ENVIRONMENT, BROKER_NODE_OPTIONS } from '@cloister/broker/node-options'
import { watchStart } from '@cloister/hostd/started-child'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { adminPublicKey, openAdminKey } from './admin-key.ts'
import { BrokerClient, openBroker } from './broker-client.ts'
import { readFetchSetting } from './fetch-setting.ts'
import { leadGuests } from './lead-guests.ts'
import { pinBroker, readPinnedBroker, type PinnedBroker } from './pinned-broker.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** Tried first when no broker was pinned before. */
export const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 8465 }

/** A new broker makes its keys first; slow machines need a moment. */
const START_TIMEOUT_MS = 20_000
/** One that found its storage in use: by a broker of the same home that another command started, and which is about to answer. */
const LOST_RACE_MS = 2000
/** Requests under way end within this time; a broker that hangs does not end by itself. */
const STOP_MS = 10_000

/**
 * Runs a broker until the signal fires, pinning it for the owner.
 *
 * @param options.listen - absent: where this home's broker was before, else the default; another free port of that address when the
 * port is taken, unless the owner asked for it once
 * @throws CloisterError `broker.*`
 */
export async function serveBroker(
  directories: Directories,
  options: {
    listen: ListenAddress | undefined
    signal: AbortSignal
    started: (url: string) => void
    /** Told which guests are led to where it has moved, or why none is. */
    talk: (line: string) => void
  },
): Promise<void> {
  const { startBroker } = await import('@cloister/broker')
  const fetching = readFetchSetting(directories)
  const start = async (listen: ListenAddress) => {
    const parts: BrokerOptions = {
      directory: directories.broker,
      listen,
      adminKeys: [adminPublicKey(openAdminKey(directories))],
      ...(fetching !== undefined && {
        fetchEndorsements: { address: fetching.kds, intel: { address: fetching.pcs } },
      }),
    }
    return await startBroker(parts)
  }
  const pinned = readPinnedBroker(directories)
  const isAsked = options.listen ? options.listen.port !== 0 : pinned?.isAddressAsked === true
  const listen = options.listen ?? (pinned === undefined ? DEFAULT_LISTEN : addressOf(pinned.url))
  const broker = await start(listen).catch(async (error: unknown) => {
    if (isAsked || !isPortTaken(error)) throw error
    return await start({ ...listen, port: 0 })
  })
  await using _ = broker
  pinBroker(directories, {
    url: broker.url,
    spki: [broker.spki],
    tokenSigner: broker.tokenSigner,
    ...(isAsked && { isAddressAsked: true }),
  })
  const pidFile = join(directories.broker, 'pid')
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  options.started(broker.url)
  // Guests of a broker with another key would find nobody there whom they take.
  if (pinned !== undefined && pinned.url !== broker.url && pinned.spki.includes(broker.spki))
    void leadGuests(directories, { from: pinned, to: broker }, options.signal).then(
      (names) => names.length > 0 && options.talk(`led to it: ${names.join(', ')}`),
      (error: unknown) =>
        options.talk(
          `guests that run look for it at ${pinned.url}: ${CloisterError.from(error).message}`,
        ),
    )
  const { promise, resolve } = Promise.withResolvers<void>()
  options.signal.addEventListener('abort', () => {
    resolve()
  })
  await promise
  rmSync(pidFile, { force: true })
}

/**
 * The pinned broker when it answers; else one of this home is started in the background, as {@link serveBroker} chooses its address.
 *
 * @param options.listen - where to start one; a broker that answers already stays where it is
 * @param options.talk - told when this home's broker took another address than before by itself
 * @throws CloisterError what kept it from starting; `owner.broker-silent` when it runs and hangs; `owner.broker-unreachable` when that is unknown, with the log's path in `where`
 */
export async function ensureBroker(
  directories: Directories,
  signal: AbortSignal,
  {
    listen,
    talk,
    silenceMs,
  }: {
    listen?: ListenAddress | undefined
    talk?: (line: string) => void
    /** How long a broker may say nothing; absent: as for all calls. */
    silenceMs?: number
  } = {},
): Promise<BrokerClient> {
  const before = readPinnedBroker(directories)
  if (before !== undefined && (await answers(directories, before, { signal, silenceMs })))
    return new BrokerClient(before, openAdminKey(directories), signal)
  await startInBackground(directories, signal, listen)
  const client = openBroker(directories, signal)
  const hasMoved = before !== undefined && before.url !== client.pinned.url
  if (hasMoved && listen === undefined) talk?.(movedText(before, client.pinned))
  return client
}

/** Returns when a broker of this home answers. */
async function startInBackground(
  directories: Directories,
  signal: AbortSignal,
  listen: ListenAddress | undefined,
): Promise<void> {
  const child = spawnBroker(directories, listen)
  const started = watchStart(child)
  let deadline = Date.now() + START_TIMEOUT_MS
  const ended = () => {
    const mayAnswerYet = started.refusal()?.code === 'broker.storage'
    deadline = Math.min(deadline, Date.now() + (mayAnswerYet ? LOST_RACE_MS : 0))
  }
  // Of the process and its pipe: then all of what it said has come.
  child.once('close', ended)
  try {
    do {
      await sleep(50, undefined, { signal })
      // Until ours is there another program may sit at the pinned address, and say nothing for long.
      if (runningBroker(directories) === undefined) continue
      const pinned = readPinnedBroker(directories)
      if (pinned !== undefined && (await answers(directories, pinned, { signal }))) return
    } while (Date.now() < deadline)
  } finally {
    child.off('close', ended)
    started.release()
  }
  throw started.refusal() ?? unknownFailure(directories)
}

function unknownFailure(directories: Directories): CloisterError {
  const where = logFile(directories)
  const received = readFileSync(where, 'utf8').trim().slice(-300)
  return new CloisterError('owner.broker-unreachable', { where, received })
}

function movedText(before: PinnedBroker, now: PinnedBroker): string {
  return `broker at ${now.url}: another program has ${new URL(before.url).host}. Guests are led to it; an agent that you installed in a VM looks for it there: once that is free, cloister broker stop and cloister broker start --detach --listen ${new URL(before.url).host}`
}

function isPortTaken(error: unknown): boolean {
  if (!(error instanceof CloisterError) || error.code !== 'broker.listen') return false
  return (error.cause as NodeJS.ErrnoException | undefined)?.code === 'EADDRINUSE'
}

/** Ends the broker of this home and waits until it is gone; one that hangs is killed, which its storage stands. @returns whether one ran */
export async function stopBroker(
  directories: Directories,
  signal: AbortSignal,
  patienceMs = STOP_MS,
): Promise<boolean> {
  const pid = runningBroker(directories)
  if (pid === undefined) return false
  process.kill(pid, 'SIGTERM')
  const deadline = Date.now() + patienceMs
  let isKilled = false
  while (isBroker(pid)) {
    await sleep(20, undefined, { signal })
    if (isKilled || Date.now() < deadline) continue
    isKilled = true
    if (isBroker(pid)) process.kill(pid, 'SIGKILL')
  }
  return true
}

/** Process id of this home's broker; absent when none runs. */
function runningBroker(directories: Directories): number | undefined {
  const pid = Number(readIfPresent(join(directories.broker, 'pid')) ?? '')
  return Number.isInteger(pid) && pid > 1 && isBroker(pid) ? pid : undefined
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

/**
 * At a port that we chose ourselves another server may sit by now, such as the broker of another home; one that was asked for is never left.
 *
 * @throws CloisterError `owner.broker-pin-mismatch`; `owner.broker-silent` of this home's own, beside which no second one can run
 */
async function answers(
  directories: Directories,
  pinned: PinnedBroker,
  { signal, silenceMs }: { signal: AbortSignal; silenceMs?: number | undefined },
): Promise<boolean> {
  try {
    await new BrokerClient(pinned, openAdminKey(directories), signal, silenceMs).status()
    return true
  } catch (error) {
    if (!(error instanceof CloisterError)) throw error
    if (error.code === 'owner.broker-unreachable') return false
    const isOther =
      error.code === 'owner.broker-pin-mismatch' ||
      (error.code === 'owner.broker-silent' && runningBroker(directories) === undefined)
    if (isOther && pinned.isAddressAsked !== true) return false
    throw error
  }
}

function addressOf(url: string): ListenAddress {
  const { hostname, port } = new URL(url)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }
}

/** As `--listen` takes it. */
function listenText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

function logFile(directories: Directories): string {
  return join(directories.broker, 'broker.log')
}

function spawnBroker(directories: Directories, listen: ListenAddress | undefined): ChildProcess {
  mkdirSync(directories.broker, { recursive: true, mode: 0o700 })
  const log = openSync(logFile(directories), 'w', 0o600)
  try {
    const main = join(import.meta.dirname, '../main.ts')
    const words = [main, 'broker', 'start', '-o', 'json']
    if (listen !== undefined) words.push('--listen', listenText(listen))
    const child = spawn(process.execPath, [...BROKER_NODE_OPTIONS, ...words], {
      detached: true,
      stdio: ['ignore', 'pipe', log],
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
