/** What goes wrong on a host every day: each has its code and exit code, says what to do, and leaves nothing behind. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { buildImage } from '@cloister/oci/build-image'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import {
  freePort,
  makeCertificate,
  startRegistry,
  type TestRegistry,
} from '../interop/test-registry.ts'
import { Deployment } from './deployment.ts'
import { fetchMissingTools } from './missing-tools.ts'
import {
  publishImage,
  putSecret,
  REGISTRY_LOGIN,
  SMALL_GUEST,
  type PublishedImage,
} from './published-image.ts'

describe('bad input', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cl-bad-'))
  const path = (name: string) => join(directory, name)
  let registry: TestRegistry
  let deployment: Deployment
  let published: PublishedImage

  before(async () => {
    fetchMissingTools('docker-registry')
    registry = await startRegistry()
    deployment = await Deployment.create()
    mkdirSync(path('root/bin'), { recursive: true })
    writeFileSync(path('root/bin/app'), randomBytes(100_000), { mode: 0o755 })
    const layers = [{ directory: path('root') }]
    const config = { Entrypoint: ['/bin/app'] }
    const name = 'team/app:v1'
    published = await publishImage(deployment, { registry, name, layers, config, directory })
    for (const [layout, architecture] of [
      ['foreign', 'arm64'],
      ['corrupt', 'amd64'],
    ] as const)
      await buildImage({
        sink: await LayoutWriter.open(path(layout)),
        tag: 'v1',
        layers,
        config,
        platform: { os: 'linux', architecture },
      })
  })

  after(async () => {
    await deployment[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  const runWords = (image: string, ...words: string[]) => ['run', image, ...SMALL_GUEST, ...words]
  const trusting = () => ['--registry-ca', registry.caFile]

  test('no QEMU', async () => {
    mkdirSync(path('bin'))
    for (const program of ['dpkg-deb', 'xz'])
      symlinkSync(`/usr/bin/${program}`, path(`bin/${program}`))
    const environment = { PATH: path('bin') }
    const words = runWords(published.image, ...published.runOptions)
    const expected = { code: 'cli.packages-missing', exit: 5 }
    await deployment.refuse(expected, words, { environment })
    await deployment.assertNoWorkloadLeft()
  })

  test('image not found', async () => {
    const expected = { code: 'image.not-found', exit: 1 }
    for (const image of [`${registry.host}/team/app:v2`, `${registry.host}/team/absent`])
      await deployment.refuse(expected, runWords(image, ...trusting()))
    await deployment.refuse(expected, runWords(`oci:${path('absent')}`))
    await deployment.refuse(expected, runWords(`oci:${path('plain')}:v2`))
    await deployment.assertNoWorkloadLeft()
  })

  test('registry down', async () => {
    const image = `localhost:${await freePort()}/team/app:v1`
    await deployment.refuse({ code: 'registry.unreachable', exit: 4 }, runWords(image))
    await deployment.assertNoWorkloadLeft()
  })

  test('registry with a certificate of somebody else', async () => {
    makeCertificate(directory)
    const expected = { code: 'registry.tls-untrusted', exit: 2 }
    const ca = ['--registry-ca', path('tls.crt')]
    await deployment.refuse(expected, runWords(published.image, ...ca))
    await deployment.refuse(expected, runWords(published.image))
    await deployment.assertNoWorkloadLeft()
  })

  test("wrong password of the owner's", async () => {
    mkdirSync(path('docker'))
    writeFileSync(path('docker/config.json'), wrongLogin(registry))
    const environment = { DOCKER_CONFIG: path('docker') }
    const expected = { code: 'registry.unauthorized', exit: 7 }
    const words = runWords(published.image, ...trusting())
    await deployment.refuse(expected, words, { environment })
    await deployment.assertNoWorkloadLeft()
  })

  test('image for another processor', async () => {
    const expected = { code: 'image.platform-missing', exit: 1 }
    await deployment.refuse(expected, runWords(`oci:${path('foreign')}:v1`))
    await deployment.assertNoWorkloadLeft()
  })

  test('image without a command', async () => {
    const sink = await LayoutWriter.open(path('nothing'))
    await buildImage({ sink, tag: 'v1', layers: [], config: {} })
    const expected = { code: 'agent.command-missing', exit: 6 }
    await deployment.refuse(expected, runWords(`oci:${path('nothing')}:v1`))
    await deployment.assertNoWorkloadLeft()
  })

  test('absurd manifest', async () => {
    const sink = await LayoutWriter.open(path('absurd'))
    const manifest = Buffer.from('{"schemaVersion":2,"layers":[{"size":-1}]}')
    await sink.putDocument(manifest, 'application/vnd.oci.image.manifest.v1+json', 'v1')
    const expected = { code: 'image.manifest-malformed', exit: 1 }
    await deployment.refuse(expected, runWords(`oci:${path('absurd')}:v1`))
    await deployment.assertNoWorkloadLeft()
  })

  test('secret that the broker does not have', async () => {
    const words = runWords(`oci:${path('plain')}:v1`, '--secret', 'absent')
    await deployment.refuse({ code: 'owner.secret-unknown', exit: 1 }, words)
    await deployment.assertNoWorkloadLeft()
  })

  test('file of certificates that is not there', async () => {
    const words = runWords(published.image, '--registry-ca', path('absent.crt'))
    await deployment.refuse({ code: 'cli.file-unreadable', exit: 6 }, words)
  })

  test('port taken', async () => {
    const server = createServer()
    const port = await listening(server, 0)
    try {
      const words = runWords(`oci:${path('plain')}:v1`, '--publish', `${port}:80`)
      await deployment.refuse({ code: 'host.port-taken', exit: 5 }, words)
      await deployment.assertNoWorkloadLeft()
    } finally {
      await closed(server)
    }
  })

  test('no space', async () => {
    mkdirSync(path('full'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', path('full')])
    try {
      const environment = { CLOISTER_HOME: path('full'), CLOISTER_RUNTIME_DIR: path('full/run') }
      assert.throws(() => writeFileSync(path('full/fill'), Buffer.alloc(1 << 20)), isFull)
      const expected = { code: 'host.disk-full', exit: 5 }
      await deployment.refuse(expected, ['broker', 'start', '--detach'], { environment })
      await deployment.refuse(expected, ['vm', 'ls'], { environment })
    } finally {
      execFileSync('umount', ['--lazy', path('full')])
    }
  })

  test('guest image damaged', async () => {
    const images = join(deployment.home, 'images')
    const shared = realpathSync(images)
    cpSync(join(shared, 'base'), path('images/base'), { recursive: true })
    unlinkSync(path('images/base/root.img'))
    unlinkSync(images)
    symlinkSync(path('images'), images)
    try {
      const expected = { code: 'guest-image.corrupt', exit: 2 }
      await deployment.refuse(expected, runWords(`oci:${path('plain')}:v1`))
      await deployment.assertNoWorkloadLeft()
    } finally {
      unlinkSync(images)
      symlinkSync(shared, images)
    }
  })

  test('corrupt layer', async () => {
    const blobs = path('corrupt/blobs/sha256')
    const layer = readdirSync(blobs).find(
      (name) => readFileSync(join(blobs, name)).length > 50_000,
    )!
    const bytes = readFileSync(join(blobs, layer))
    bytes[30_000]! ^= 1
    writeFileSync(join(blobs, layer), bytes)
    const expected = { code: 'image.digest-mismatch', exit: 2 }
    await deployment.refuse(expected, runWords(`oci:${path('corrupt')}:v1`))
    await removeFailed('corrupt', expected.code)
  })

  test("wrong password of the guest's, and a second run of its name meanwhile", async () => {
    writeFileSync(path('wrong.json'), wrongLogin(registry))
    await putSecret(deployment, REGISTRY_LOGIN, path('wrong.json'))
    const words = runWords(published.image, ...published.runOptions)
    const expected = { code: 'registry.unauthorized', exit: 7 }
    const first = deployment.refuse(expected, words)
    await untilListed('app')
    await deployment.refuse({ code: 'workload.name-taken', exit: 1 }, words)
    await first
    await removeFailed('app', expected.code)
  })

  test('broker gone while the guest boots', async () => {
    const run = deployment.run([...runWords(`oci:${path('plain')}:v1`), '-o', 'json'])
    await untilListed('plain')
    await deployment.succeed('broker', 'stop')
    const { exit, stdout } = await run
    assert.deepEqual(
      { code: JSON.parse(stdout).error?.code, exit },
      { code: 'agent.broker-unreachable', exit: 3 },
    )
    await removeFailed('plain', 'agent.broker-unreachable')
  })

  test("another program at the broker's address", async () => {
    // Where the broker was that the test before has ended.
    const { url } = await deployment.succeed('broker', 'start', '--detach')
    await deployment.succeed('broker', 'stop')
    const { port } = new URL(url)
    const server = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('no\n'),
    )
    await listening(server, Number(port))
    try {
      await deployment.refuse({ code: 'owner.broker-unreachable', exit: 4 }, ['secret', 'ls'])
      const start = ['broker', 'start', '--detach']
      const fixed = [...start, '--listen', `127.0.0.1:${port}`]
      await deployment.refuse({ code: 'broker.listen', exit: 5 }, fixed)
      const moved = await deployment.succeed(...start)
      assert.notEqual(moved.url, url)
      await deployment.succeed('secret', 'ls')
    } finally {
      await closed(server)
    }
  })

  async function listed(): Promise<
    readonly { name: string; state: string; error?: { code: string } }[]
  > {
    return await deployment.succeed('ps', '-a')
  }

  async function untilListed(name: string): Promise<void> {
    for (let attempt = 0; attempt < 50; attempt++)
      if ((await listed()).some((workload) => workload.name === name)) return
    assert.fail(`${name} was not started`)
  }

  /** A failed workload stays listed with its code until it is removed; its VM is gone before. */
  async function removeFailed(name: string, code: string): Promise<void> {
    const [workload] = await listed()
    assert.deepEqual(
      [workload?.name, workload?.state, workload?.error?.code],
      [name, 'failed', code],
    )
    await deployment.succeed('rm', name)
    await deployment.assertNoWorkloadLeft()
  }
})

function wrongLogin({ host, user }: TestRegistry): string {
  const auth = Buffer.from(`${user}:wrong`).toString('base64')
  return JSON.stringify({ auths: { [host]: { auth } } })
}

const isFull = { code: 'ENOSPC' }

/** @returns the port */
async function listening(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function closed(server: Server): Promise<void> {
  server.close()
  await once(server, 'close')
}
