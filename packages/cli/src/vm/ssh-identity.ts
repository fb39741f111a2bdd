/**
 * What the owner keeps of each VM to reach it by ssh, in `owner/vms/<name>/`: a key of its own unless another was given, and the key by which
 * the guest proves that it is that guest. The guest's key goes in by the seed, so the first contact is checked like every other.
 */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { replaceFile } from '@cloister/protocol/replace-file'
import { readInput } from '../read-input.ts'
import { findProgram } from '../setup/requirements.ts'

const run = promisify(execFile)

const IdentitySchema = z.strictObject({
  version: z.literal(1),
  /** Who to log in as. Absent: ssh's own choice. */
  user: z.string().optional(),
  /** Private key file. Absent: those of the owner's agent and ssh configuration. */
  key: z.string().optional(),
  /** Whether the guest's key was given to it by its seed. */
  isHostKeyGiven: z.boolean(),
})
export type SshIdentity = z.infer<typeof IdentitySchema>

/** An OpenSSH key pair as text. */
export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

const PUBLIC_KEY = /^(?:ssh-|ecdsa-|sk-)[\x21-\x7e]+ [A-Za-z0-9+/=]+(?: [\x20-\x7e]*)?$/

/** The name by which ssh knows a VM's key, whatever port it is behind. */
export function hostKeyAlias(name: string): string {
  return `cloister-vm-${name}`
}

/** A new Ed25519 pair. @throws CloisterError `vm.ssh-program-missing` */
export async function makeKeyPair(comment: string): Promise<KeyPair> {
  const program = findProgram('ssh-keygen')
  if (program === undefined) throw new CloisterError('vm.ssh-program-missing')
  const work = await mkdtemp(join(tmpdir(), 'cloister-key-'))
  try {
    const file = join(work, 'key')
    await run(program, ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file])
    const publicKey = (await readFile(`${file}.pub`, 'utf8')).trim()
    return { privateKey: await readFile(file, 'utf8'), publicKey }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** A public key from a file of the owner's, and the private key beside it. */
export interface GivenKey {
  readonly publicKey: string
  /** Absent: the owner's agent holds it. */
  readonly key: string | undefined
}

/** @param file - a public key, or a private one with its `.pub` beside it. @throws CloisterError `cli.file-unreadable` */
export async function readGivenKey(file: string): Promise<GivenKey> {
  const text = (await readInput(file, 16 << 10)).toString('utf8').trim()
  const isPublic = PUBLIC_KEY.test(text)
  const key = resolve(isPublic ? file.replace(/\.pub$/, '') : file)
  const publicKey = isPublic
    ? text
    : (await readInput(`${file}.pub`, 16 << 10)).toString('utf8').trim()
  if (!PUBLIC_KEY.test(publicKey))
    throw new CloisterError('cli.file-unreadable', {
      where: file,
      why: 'it holds no public key in the form of OpenSSH',
    })
  const hasPrivate = key !== resolve(file) || !isPublic
  const isThere = hasPrivate && (await stat(key).catch(() => undefined)) !== undefined
  return { publicKey, key: isThere ? key : undefined }
}

export interface KeptIdentity {
  readonly user: string | undefined
  /** The owner's own private key file. */
  readonly givenKey: string | undefined
  /** Made for this VM. */
  readonly madeKey: KeyPair | undefined
  readonly hostKey: KeyPair | undefined
}

/** Writes what is kept of a new VM; what an older one of that name left goes. */
export async function keepIdentity(
  directories: Pick<Directories, 'owner'>,
  name: string,
  { user, givenKey, madeKey, hostKey }: KeptIdentity,
): Promise<void> {
  const folder = identityFolder(directories, name)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const own = join(folder, 'id_ed25519')
  if (madeKey !== undefined) {
    await writeFile(own, madeKey.privateKey, { mode: 0o600 })
    await writeFile(`${own}.pub`, `${madeKey.publicKey}\n`)
  }
  const key = madeKey === undefined ? givenKey : own
  if (hostKey !== undefined) {
    const [type = '', value = ''] = hostKey.publicKey.split(' ')
    await writeFile(knownHosts(folder), `${hostKeyAlias(name)} ${type} ${value}\n`)
  }
  const identity: SshIdentity = {
    version: 1,
    ...(user !== undefined && { user }),
    ...(key !== undefined && { key }),
    isHostKeyGiven: hostKey !== undefined,
  }
  await replaceFile(join(folder, 'ssh.json'), `${JSON.stringify(identity)}\n`)
}

/** What was kept, and its file of known hosts; a VM made by somebody else has nothing. */
export async function readIdentity(
  directories: Pick<Directories, 'owner'>,
  name: string,
): Promise<{ readonly identity: SshIdentity; readonly knownHosts: string }> {
  const folder = identityFolder(directories, name)
  const none: SshIdentity = { version: 1, isHostKeyGiven: false }
  const text = await readFile(join(folder, 'ssh.json'), 'utf8').catch(() => undefined)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
  if (text === undefined) return { identity: none, knownHosts: knownHosts(folder) }
  try {
    return { identity: IdentitySchema.parse(JSON.parse(text)), knownHosts: knownHosts(folder) }
  } catch (cause) {
    throw new CloisterError('owner.pin-unreadable', {
      where: join(folder, 'ssh.json'),
      fix: ['remove the file; the next contact pins the guest anew'],
      cause,
    })
  }
}

export async function removeIdentity(
  directories: Pick<Directories, 'owner'>,
  name: string,
): Promise<void> {
  await rm(identityFolder(directories, name), { recursive: true, force: true })
}

function identityFolder({ owner }: Pick<Directories, 'owner'>, name: string): string {
  return join(owner, 'vms', name)
}

function knownHosts(folder: string): string {
  return join(folder, 'known_hosts')
}
