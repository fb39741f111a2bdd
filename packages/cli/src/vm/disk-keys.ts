/**
 * Another key, and a recovery key, for the encrypted disk of a VM. The broker offers the new key to the attested guest, which takes it over
 * at its next start, before it mounts anything; then the old one goes. Broken off at any point, the same command again finishes it.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostdClient } from '@cloister/hostd/client'
import type { SecretList } from '@cloister/protocol/broker-admin-api'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { DISK_SECRET_BYTES } from '@cloister/protocol/sealed-disk/keys'
import type { BrokerClient } from '../owner/broker-client.ts'
import { brokerTargets } from './broker-targets.ts'
import { vmResources } from './vm-resources.ts'

export interface DiskKeyContext {
  readonly directories: Directories
  readonly broker: BrokerClient
  readonly hostd: HostdClient
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

const POLL_MS = 500
/** Groups by which people copy a recovery key: Crockford's base32, without letters that look like digits. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const RECOVERY_GROUPS = 8
const GROUP_LENGTH = 6

/** @throws CloisterError `vm-boot.not-encrypted`, `vm-boot.key-not-taken`, what ended the VM */
export async function rekeyDisk(name: string, context: DiskKeyContext): Promise<void> {
  const { directories, broker } = context
  const { key, nextKey } = vmResources(name)
  const current = await requireDiskSecret(name, broker)
  // The broker never gives a value back: until the guest has it, the new key stands here too.
  const file = join(directories.owner, 'vms', name, 'next-disk-key')
  const next = await keptKey(file)
  await offer(broker, nextKey, next, current)
  await restartUntilTaken(name, nextKey, context)
  await broker.putSecret(key, {
    value: next.toString('base64'),
    allowSimulated: current.allowSimulated,
  })
  await broker.removeSecret(nextKey)
  await rm(file, { force: true })
}

/**
 * @returns the recovery key, which nobody else keeps
 * @throws CloisterError as {@link rekeyDisk}
 */
export async function addRecoveryKey(name: string, context: DiskKeyContext): Promise<string> {
  const { broker } = context
  const { recoveryKey } = vmResources(name)
  const current = await requireDiskSecret(name, broker)
  const text = newRecoveryKey()
  await offer(broker, recoveryKey, Buffer.from(text), current)
  try {
    await restartUntilTaken(name, recoveryKey, context)
  } finally {
    await broker.removeSecret(recoveryKey)
  }
  return text
}

/** 240 bits in groups. */
export function newRecoveryKey(random: (bytes: number) => Uint8Array = randomBytes): string {
  const letters = [...random(RECOVERY_GROUPS * GROUP_LENGTH)].map((byte) => ALPHABET[byte % 32])
  return Array.from({ length: RECOVERY_GROUPS }, (_, group) =>
    letters.slice(group * GROUP_LENGTH, (group + 1) * GROUP_LENGTH).join(''),
  ).join('-')
}

type StoredSecret = SecretList['secrets'][number]

export async function requireDiskSecret(name: string, broker: BrokerClient): Promise<StoredSecret> {
  const { key } = vmResources(name)
  const secret = (await broker.secrets()).find(({ path }) => path === key)
  if (secret === undefined) throw new CloisterError('vm-boot.not-encrypted', { where: name })
  return secret
}

/** Under the very policy of the key that the disk has. */
async function offer(
  broker: BrokerClient,
  path: string,
  value: Buffer,
  { release, allowSimulated }: StoredSecret,
): Promise<void> {
  if (release === null) throw new CloisterError('owner.secret-not-granted', { where: path })
  await broker.putSecret(path, { value: value.toString('base64'), allowSimulated, release })
}

async function keptKey(file: string): Promise<Buffer> {
  const kept = await readFile(file).catch(() => undefined)
  if (kept?.length === DISK_SECRET_BYTES) return kept
  const made = randomBytes(DISK_SECRET_BYTES)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeFile(file, made, { mode: 0o600 })
  return made
}

/** That the broker gave the key to the guest stands in its audit log; that the guest used it, in the stage that comes after. */
async function restartUntilTaken(
  name: string,
  path: string,
  { hostd, broker, talk, signal }: DiskKeyContext,
): Promise<void> {
  const since = Date.now()
  talk(`        ${name} is started again and takes the key over`)
  await hostd.vms.stop(name, {}, { signal })
  await hostd.vms.start(name, { targets: brokerTargets(broker.pinned) }, { signal })
  for (;;) {
    const view = await hostd.vms.get(name, { signal })
    if (view.state === 'failed') throw CloisterError.fromJSON(view.error)
    if (view.stages.some((stage) => stage.name === 'started')) break
    await sleep(POLL_MS, undefined, { signal })
  }
  const entries = await broker.audit({ workload: name, limit: 50 })
  const taken = entries.some(
    ({ kind, outcome, subject, time }) =>
      kind === 'release' && outcome === 'allowed' && subject === path && time >= since,
  )
  if (!taken) throw new CloisterError('vm-boot.key-not-taken', { where: path })
}
