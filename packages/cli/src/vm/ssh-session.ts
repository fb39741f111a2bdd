/** ssh into a VM: the port found, the keys known, the exit code passed on. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { escapeText } from '../escape-text.ts'
import { findProgram } from '../setup/requirements.ts'
import { hostKeyAlias, type SshIdentity } from './ssh-identity.ts'

const SSH_PORT = 22
/** RFC 4253 section 4.2: a server may say other lines before its version. */
const BANNER_BYTES = 64 << 10
const TRY_MS = 5_000
const PAUSE_MS = 500

export interface SshTarget {
  readonly address: string
  readonly port: number
}

/** Where the host leads to port 22 of the guest. @throws CloisterError `vm.not-running`, `vm.ssh-port-unpublished` */
export function sshTarget(view: VmView): SshTarget {
  if (view.state !== 'running') throw new CloisterError('vm.not-running', { received: view.state })
  const found = view.ports.find(({ guest }) => guest === SSH_PORT)
  if (found === undefined)
    throw new CloisterError('vm.ssh-port-unpublished', {
      ...(view.network.kind === 'bridge' && {
        why: `it is on bridge ${view.network.bridge} with the address ${view.mac}`,
      }),
    })
  const address = found.address === '0.0.0.0' ? '127.0.0.1' : found.address
  return { address, port: found.host }
}

export interface AwaitSshOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Asked between tries; throws when there is nothing to wait for any more. */
  readonly check: () => Promise<void>
}

/** Resolves when an ssh server speaks; the host accepts long before the guest does. @throws CloisterError `vm.ssh-unreachable` */
export async function awaitSsh(
  target: SshTarget,
  { timeoutMs, signal, check }: AwaitSshOptions,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await speaksSsh(target, signal))) {
    signal.throwIfAborted()
    await check()
    if (Date.now() >= deadline)
      throw new CloisterError('vm.ssh-unreachable', {
        where: `${target.address}:${target.port}`,
        why: `nothing spoke ssh there for ${Math.round(timeoutMs / 1000)} s`,
      })
    await sleep(PAUSE_MS, undefined, { signal })
  }
}

async function speaksSsh({ address, port }: SshTarget, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host: address, port, signal, timeout: TRY_MS })
  let said = ''
  socket.on('data', (bytes) => {
    said += bytes.toString('latin1')
    if (/(?:^|\n)SSH-2\.0-/.test(said)) resolve(true)
    else if (said.length > BANNER_BYTES) resolve(false)
  })
  socket.on('error', () => {
    resolve(false)
  })
  socket.on('timeout', () => {
    resolve(false)
  })
  socket.on('close', () => {
    resolve(false)
  })
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

export interface SshSession {
  readonly name: string
  readonly target: SshTarget
  readonly identity: SshIdentity
  /** File in which the guest's key stands. */
  readonly knownHosts: string
  /** Absent: that of the identity. */
  readonly user: string | undefined
  /** Learns the guest's key anew instead of comparing it. */
  readonly acceptsNewKey: boolean
  /** One word: as a shell reads it. Several: a program and its arguments. None: a shell. */
  readonly command: readonly string[]
}

/** The words after `ssh`. What stands in the owner's ssh configuration cannot weaken the pin. */
export function sshArguments(session: SshSession): string[] {
  const { name, target, identity, knownHosts, acceptsNewKey, command } = session
  const user = session.user ?? identity.user
  // With a key that the seed gave there is no first contact to take on faith.
  const strictness = identity.isHostKeyGiven && !acceptsNewKey ? 'yes' : 'accept-new'
  return [
    '-p',
    String(target.port),
    ...(user === undefined ? [] : ['-l', user]),
    ...(identity.key === undefined ? [] : ['-i', identity.key, '-o', 'IdentitiesOnly=yes']),
    ...[
      `HostKeyAlias=${hostKeyAlias(name)}`,
      `UserKnownHostsFile=${quoted(knownHosts)}`,
      'GlobalKnownHostsFile=none',
      `StrictHostKeyChecking=${strictness}`,
      'UpdateHostKeys=no',
      'ForwardAgent=no',
      'ForwardX11=no',
      'ClearAllForwardings=yes',
      'PermitLocalCommand=no',
      // All VMs are one address: a connection kept for another must not be taken.
      'ControlMaster=no',
      'ControlPath=none',
      'KnownHostsCommand=none',
      'VerifyHostKeyDNS=no',
      // A key that is learned is told of.
      `LogLevel=${strictness === 'yes' ? 'ERROR' : 'INFO'}`,
    ].flatMap((option) => ['-o', option]),
    '--',
    target.address,
    ...(command.length > 1 ? [command.map(shellWord).join(' ')] : command),
  ]
}

/** Runs ssh on this terminal. @returns its exit code: that of the remote command, 255 when ssh itself failed */
export async function runSsh(session: SshSession, signal: AbortSignal): Promise<number> {
  const program = findProgram('ssh')
  if (program === undefined) throw new CloisterError('vm.ssh-program-missing')
  const child = spawn(program, sshArguments(session), { stdio: 'inherit' })
  const stop = () => child.kill()
  signal.addEventListener('abort', stop, { once: true })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('exit', (code) => {
    resolve(code ?? 255)
  })
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** What a script says may be so long, bytes. */
const OUTPUT_BYTES = 1 << 16

/** A shell in the guest that stays between scripts, as one session: what belongs to a session may go with it. */
export interface GuestShell extends AsyncDisposable {
  /**
   * Runs a script. @returns what it wrote
   *
   * @throws CloisterError `vm.ssh-command-failed` when the shell has ended
   */
  run(script: string): Promise<string>
}

/**
 * @param say - gets what ssh and the guest say on stderr, made harmless for a terminal; no more than 64 KiB of it
 * @throws CloisterError `vm.ssh-program-missing`
 */
export function openGuestShell(
  session: SshSession,
  say: (text: string) => void,
  signal: AbortSignal,
): GuestShell {
  const program = findProgram('ssh')
  if (program === undefined) throw new CloisterError('vm.ssh-program-missing')
  const child = spawn(program, ['-T', ...sshArguments({ ...session, command: ['sh'] })], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stop = () => child.kill()
  signal.addEventListener('abort', stop, { once: true })
  let said = ''
  let complainedBytes = 0
  const ended = Promise.withResolvers<never>()
  ended.promise.catch(() => undefined)
  const fail = (received: string) =>
    ended.reject(new CloisterError('vm.ssh-command-failed', { received }))
  child.once('error', (error) => fail(error.message))
  child.once('close', (code) => fail(`exit code ${code}`))
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
    if (said.length > OUTPUT_BYTES) child.kill()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    complainedBytes += chunk.length
    if (complainedBytes <= OUTPUT_BYTES)
      say(escapeText(chunk.toString('utf8').replaceAll('\r', '')))
  })
  // A shell that has ended takes no more.
  child.stdin.on('error', () => undefined)
  return {
    async run(script) {
      const marker = `cloister-${randomBytes(12).toString('hex')}`
      child.stdin.write(`${script}\necho ${marker}\n`)
      for (;;) {
        const at = said.indexOf(marker)
        if (at >= 0) {
          const before = said.slice(0, at)
          said = said.slice(at + marker.length + 1)
          return before
        }
        await Promise.race([once(child.stdout, 'data'), ended.promise])
      }
    },
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', stop)
      child.stdin.end()
      await ended.promise.catch(() => undefined)
    },
  }
}

/** A word that a POSIX shell takes as it is. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/** A path in ssh's configuration syntax. */
function quoted(path: string): string {
  return `"${path.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}
