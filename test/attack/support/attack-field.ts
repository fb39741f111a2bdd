/** A battlefield of one test file: a home of its own, a broker, an encrypted and signed image, a secret and a registered workload. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, link, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { startBroker } from '@cloister/broker'
import type { Battlefield } from '@cloister/cli/attacks/attack'
import { ownerSigningKey } from '@cloister/cli/commands/image-sign'
import { adminPublicKey, openAdminKey } from '@cloister/cli/owner/admin-key'
import { openBroker } from '@cloister/cli/owner/broker-client'
import { pinBroker } from '@cloister/cli/owner/pinned-broker'
import { pinLocalSimulatedRoot } from '@cloister/cli/owner/simulated-roots'
import { ensureGuestImage } from '@cloister/cli/setup/ensure-guest-image'
import { registerGuestImage, releasePolicyFor } from '@cloister/cli/workload/register'
import { ensureHostd } from '@cloister/hostd/ensure'
import {
  DEFAULT_IMAGE,
  loadGuestImage,
  MANIFEST_FILE,
  type GuestImage,
} from '@cloister/image/images'
import { predictions } from '@cloister/image/predictions'
import { identifyProcess, untilGone } from '@cloister/launcher/process-identity'
import { directories } from '@cloister/protocol/directories'
import { encodeInitdata, initdataOf } from '@cloister/protocol/initdata'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { assertSilent, newCanary } from './canary.ts'
import { makeCanaryImage, SECRET_FILE } from './canary-image.ts'
import { installRecordingQemu, type RecordingQemu } from './recording-qemu.ts'

/** Quickstart's attacks on images ask for the demo's. */
const REFERENCE = { registry: 'localhost', repository: 'demo' } as const
const IMAGE_KEY = 'image-key/canary/key'
const SECRET = 'default/secret/canary'
const WORKLOAD = 'canary'

export interface AttackField extends Battlefield, AsyncDisposable {
  readonly document: WorkloadInput
  readonly secretValue: string
  /** The 32 bytes under {@link Battlefield.imageKey}. */
  readonly key: Uint8Array
  readonly qemu: RecordingQemu
  /** Fails when a canary lies anywhere in the home, the runtime folder or the records. */
  assertSilent(): Promise<void>
}

export async function openAttackField(): Promise<AttackField> {
  await using cleanup = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'cl-attack-'))
  cleanup.defer(async () => await rm(folder, { recursive: true, force: true }))
  const home = join(folder, 'home')
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'r') })
  await mkdir(places.images, { recursive: true })
  await mkdir(places.runtime, { recursive: true })
  await keepImage(await usualImage(), join(folder, 'image'))
  await symlink(join(folder, 'image'), join(places.images, DEFAULT_IMAGE))
  const guestImage = await loadGuestImage(join(places.images, DEFAULT_IMAGE))
  const qemu = cleanup.use(await installRecordingQemu())
  const stop = new AbortController()
  cleanup.defer(() => {
    stop.abort()
  })

  const broker = cleanup.use(
    await startBroker({
      directory: places.broker,
      listen: { host: '127.0.0.1', port: 0 },
      adminKeys: [adminPublicKey(openAdminKey(places))],
    }),
  )
  pinBroker(places, { url: broker.url, spki: [broker.spki], tokenSigner: broker.tokenSigner })
  const owner = openBroker(places, stop.signal)
  await owner.pinSimulatedRoot(await pinLocalSimulatedRoot(places))
  await registerGuestImage(owner, guestImage.manifest, { tee: 'simulated', debug: false })

  const canaries = { image: newCanary(), secret: newCanary() }
  const key = randomBytes(32)
  const layout = join(places.demo, 'layout')
  const signer = ownerSigningKey({ directories: places })
  const imageDigest = await makeCanaryImage({
    guestImage,
    canary: canaries.image,
    layout,
    tag: 'latest',
    imageKey: IMAGE_KEY,
    key,
    signature: { privateKey: signer.key, reference: REFERENCE },
  })
  const release = releasePolicyFor(WORKLOAD, guestImage.manifest, 'simulated')
  for (const [path, value] of [
    [IMAGE_KEY, key],
    [SECRET, Buffer.from(canaries.secret)],
  ] as const)
    await owner.putSecret(path, {
      value: Buffer.from(value).toString('base64'),
      allowSimulated: true,
      release,
    })

  const document: WorkloadInput = {
    version: 1,
    name: WORKLOAD,
    revision: 1,
    broker: { url: broker.url, spki: [broker.spki] },
    image: {
      reference: `${REFERENCE.registry}/${REFERENCE.repository}@${imageDigest}`,
      digest: imageDigest,
      registry: { target: 'registry', plainHttp: true },
    },
    container: { id: WORKLOAD, secrets: [{ resource: SECRET, file: SECRET_FILE }] },
    hostPolicy: { readStdout: true },
    network: { targets: ['broker', 'registry'], ports: [8080] },
  }
  const initdata = encodeInitdata(initdataOf(document))
  await owner.putWorkload(WORKLOAD, initdata)

  const hostd = async () => await ensureHostd(places)
  cleanup.defer(async () => {
    const client = await hostd()
    for (const { name } of await client.list()) await client.stop(name, { force: true })
    // It writes below the home until it is gone.
    const process = await identifyProcess((await client.info()).pid)
    await client.shutdown()
    if (process !== undefined) await untilGone(process)
  })
  const digests = await predictions(guestImage.directory, guestImage.manifest)
  const silence = async () =>
    await assertSilent([places.home, qemu.records], Object.values(canaries))
  const parts = cleanup.move()
  return {
    directories: places,
    broker: owner,
    hostd,
    guestImage,
    workload: WORKLOAD,
    initdata,
    launchDigest: digests.simulated['EPYC-v4']?.['1'] ?? '',
    layout,
    imageDigest,
    publicKeyFile: signer.publicKeyFile,
    imageKey: IMAGE_KEY,
    secret: SECRET,
    signal: stop.signal,
    document,
    secretValue: canaries.secret,
    key,
    qemu,
    assertSilent: silence,
    [Symbol.asyncDispose]: async () => {
      await parts.disposeAsync()
    },
  }
}

/** The default home's guest image; built when there is none. */
async function usualImage(): Promise<GuestImage> {
  const usual = directories()
  const directory = join(usual.images, DEFAULT_IMAGE)
  if (!existsSync(join(directory, MANIFEST_FILE)))
    await ensureGuestImage({
      directories: usual,
      talk: () => undefined,
      signal: AbortSignal.timeout(600_000),
    })
  return await loadGuestImage(directory)
}

/** Names its files in a folder of ours, where they stay when somebody builds it anew meanwhile. */
async function keepImage({ directory }: GuestImage, folder: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const from = join(entry.parentPath, entry.name)
    const to = join(folder, relative(directory, from))
    await mkdir(dirname(to), { recursive: true })
    // Another file system takes no link.
    await link(from, to).catch(async () => await copyFile(from, to))
  }
}
