/**
 * The demo's image: Node of this machine with the libraries it needs, and a small web service. Built, encrypted for the broker and signed once; made anew
 * when one of its inputs changed or the broker lost its key.
 */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { buildImage } from '@cloister/oci/build-image'
import { encryptImage } from '@cloister/oci/encrypt-image'
import { openLayout } from '@cloister/oci/layout'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { resolveImage } from '@cloister/oci/resolve-image'
import { signImage } from '@cloister/oci/sign-image'
import type { Directories } from '@cloister/protocol/directories'
import { ownerSigningKey } from '../commands/image-sign.ts'
import type { BrokerClient } from '../owner/broker-client.ts'

export const DEMO = {
  name: 'demo',
  /** Port of the service in the guest. */
  port: 8080,
  imageKey: 'image-key/demo/key',
  secret: 'default/secret/demo',
  secretFile: '/run/secrets/demo',
  tag: 'latest',
  reference: { registry: 'localhost', repository: 'demo' },
} as const

export interface DemoImage {
  /** `oci:DIR:TAG`. */
  readonly image: string
  readonly digest: string
  /** The plain image that it was encrypted from, for measuring. */
  readonly layout: string
  readonly publicKeyFile: string
  readonly reused: boolean
}

const SERVER = join(import.meta.dirname, '../../demo/server.mjs')

export async function ensureDemoImage(
  directories: Directories,
  broker: BrokerClient,
  signal: AbortSignal,
): Promise<DemoImage> {
  const layout = join(directories.demo, DEMO.reference.repository)
  const { publicKeyFile } = ownerSigningKey({ directories })
  const inputs = await describeInputs(publicKeyFile)
  const keyIsThere = (await broker.secrets()).some(({ path }) => path === DEMO.imageKey)
  const found = keyIsThere
    ? await digestOf(layout, join(directories.demo, 'inputs'), inputs)
    : undefined
  const image = `oci:${layout}:${DEMO.tag}`
  if (found !== undefined) return { image, digest: found, layout, publicKeyFile, reused: true }
  const digest = await makeImage(directories, broker, layout, signal)
  await writeFile(join(directories.demo, 'inputs'), inputs)
  return { image, digest, layout, publicKeyFile, reused: false }
}

/** The digest of the image when it is there and was made from these inputs. */
async function digestOf(
  layout: string,
  stampFile: string,
  inputs: string,
): Promise<string | undefined> {
  try {
    if ((await readFile(stampFile, 'utf8')) !== inputs) return undefined
    return (await resolveImage(await openLayout(layout), DEMO.tag)).digest
  } catch {
    return undefined
  }
}

async function describeInputs(publicKeyFile: string): Promise<string> {
  const files = [process.execPath, SERVER, publicKeyFile]
  return `${(await Promise.all(files.map(sha256File))).join('\n')}\n`
}

async function makeImage(
  directories: Directories,
  broker: BrokerClient,
  layout: string,
  signal: AbortSignal,
): Promise<string> {
  const rootfs = join(directories.demo, 'rootfs')
  const plain = join(directories.demo, 'plain')
  try {
    for (const folder of [rootfs, plain, layout]) await rm(folder, { recursive: true, force: true })
    await layOutRootfs(rootfs)
    await buildImage({
      sink: await LayoutWriter.open(plain),
      tag: DEMO.tag,
      layers: [{ directory: rootfs }],
      compression: 'zstd',
      config: {
        Entrypoint: ['/usr/bin/node', '/srv/server.mjs'],
        Env: ['PATH=/usr/bin'],
        User: '1000:1000',
        WorkingDir: '/srv',
        ExposedPorts: { [`${DEMO.port}/tcp`]: {} },
      },
    })
    const key = randomBytes(32)
    const source = await openLayout(plain)
    const sink = await LayoutWriter.open(layout)
    const { digest } = await encryptImage({
      source,
      from: DEMO.tag,
      sink,
      tag: DEMO.tag,
      recipients: [{ scheme: 'broker', resource: DEMO.imageKey, key }],
      signal,
    })
    const { key: privateKey } = ownerSigningKey({ directories })
    await signImage({
      source: await openLayout(layout),
      sink,
      manifestDigest: digest,
      reference: DEMO.reference,
      privateKey,
      signal,
    })
    await broker.putSecret(DEMO.imageKey, { value: key.toString('base64'), allowSimulated: true })
    return digest
  } finally {
    for (const folder of [rootfs, plain]) await rm(folder, { recursive: true, force: true })
  }
}

/** `/usr/bin/node`, the shared libraries that it loads at the paths it expects, and the service. */
async function layOutRootfs(rootfs: string): Promise<void> {
  await place(process.execPath, join(rootfs, 'usr/bin/node'))
  for (const library of await sharedLibraries(process.execPath))
    await place(await realpath(library), join(rootfs, library))
  await place(SERVER, join(rootfs, 'srv/server.mjs'))
  for (const folder of ['proc', 'sys', 'dev', 'run', 'tmp', 'etc'])
    await mkdir(join(rootfs, folder), { recursive: true })
  await writeFile(
    join(rootfs, 'etc/passwd'),
    'root:x:0:0:root:/:/sbin/nologin\nnode:x:1000:1000:node:/srv:/sbin/nologin\n',
  )
  await writeFile(join(rootfs, 'etc/group'), 'root:x:0:\nnode:x:1000:\n')
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, to)
}

/** As the loader of this machine finds them. */
async function sharedLibraries(program: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('ldd', [program])
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => path)
}

async function sha256File(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer)
  return hash.digest('hex')
}
