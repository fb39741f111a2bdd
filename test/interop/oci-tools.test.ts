/** Images against tools that we did not write: skopeo, umoci, cosign and Debian's registry. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { buildImage } from '@cloister/oci/build-image'
import { encryptImage } from '@cloister/oci/encrypt-image'
import { httpTransport } from '@cloister/oci/http-transport'
import { jweUnwrapper } from '@cloister/oci/jwe'
import { brokerUnwrapper } from '@cloister/oci/key-unwrap'
import { openLayout } from '@cloister/oci/layout'
import { serveLayout } from '@cloister/oci/layout-server'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { pullImage, type PullOptions } from '@cloister/oci/pull'
import { parseReference } from '@cloister/oci/reference'
import { RegistryClient } from '@cloister/oci/registry-client'
import { credentialsFor } from '@cloister/oci/registry-credentials'
import { RegistrySink } from '@cloister/oci/registry-sink'
import { resolveImage } from '@cloister/oci/resolve-image'
import { parseSignaturePolicy } from '@cloister/oci/signature-policy'
import { signImage } from '@cloister/oci/sign-image'
import { generateSigningKey, parseSigningKey } from '@cloister/oci/signing-key'
import { makeCertificate, startRegistry, type TestRegistry } from './test-registry.ts'
import { missingTools, runTool } from './tools.ts'

const KEY = Buffer.alloc(32, 9)
const RESOURCE = 'default/image-key/interop'

test(
  'skopeo opens what we encrypt and gets the very image',
  { skip: missingTools('skopeo', 'umoci') },
  async (t) => {
    const place = new Workplace(t)
    const { digest } = await place.buildPlain()
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(place.path('key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await encryptImage({
      source: await openLayout(place.path('plain')),
      from: 'v1',
      sink: await LayoutWriter.open(place.path('encrypted')),
      tag: 'v1',
      recipients: [
        { scheme: 'jwe', publicKey },
        { scheme: 'broker', resource: RESOURCE, key: KEY },
      ],
    })
    const [from, to] = [`oci:${place.path('encrypted')}:v1`, `oci:${place.path('opened')}:v1`]
    await runTool('skopeo', ['copy', '--decryption-key', place.path('key.pem'), from, to])
    const opened = await resolveImage(await openLayout(place.path('opened')), 'v1')
    assert.equal(opened.digest, digest)

    await runTool('umoci', [
      'unpack',
      '--image',
      `${place.path('opened')}:v1`,
      place.path('bundle'),
    ])
    const encrypted = await openLayout(place.path('encrypted'))
    await pullImage({
      source: encrypted,
      reference: parseReference('localhost/app:v1'),
      digest: (await resolveImage(encrypted, 'v1')).digest,
      directory: place.path('ours'),
      unwrapKey: brokerUnwrapper({ getResource: () => Promise.resolve(KEY) }),
    })
    assert.deepEqual(listing(place.path('ours')), listing(place.path('bundle/rootfs')))
  },
)

test(
  'an image that skopeo encrypted and pushed is pulled',
  { skip: missingTools('skopeo', 'docker-registry') },
  async (t) => {
    const place = new Workplace(t)
    await using registry = await startRegistry()
    await place.buildPlain()
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(place.path('key.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
    const name = `${registry.host}/team/app:v1`
    const encryption = ['--encryption-key', `jwe:${place.path('key.pub')}`]
    const login = ['--dest-creds', `${registry.user}:${registry.password}`]
    await runTool(
      'skopeo',
      ['copy', ...encryption, ...login, `oci:${place.path('plain')}:v1`, `docker://${name}`],
      {
        SSL_CERT_FILE: registry.caFile,
      },
    )
    const options = await pullFrom(registry, name, place)
    await assert.rejects(pullImage(options), { code: 'image.key-missing' })
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const refused = { ...options, unwrapKey: jweUnwrapper([stranger]) }
    await assert.rejects(pullImage(refused), { code: 'image.key-missing' })
    const pulled = await pullImage({ ...options, unwrapKey: jweUnwrapper([privateKey]) })
    assert.equal(pulled.encryptedLayers, 2)
  },
)

test(
  'cosign verifies what we sign, and we what cosign signs',
  { skip: missingTools('cosign', 'docker-registry') },
  async (t) => {
    const place = new Workplace(t)
    await using registry = await startRegistry()
    const cosign = {
      SSL_CERT_FILE: registry.caFile,
      DOCKER_CONFIG: registry.directory,
      COSIGN_PASSWORD: 'pass',
      HOME: place.path('.'),
    }
    const ours = `${registry.host}/team/ours:v1`
    const digest = await pushPlain(registry, ours, place)
    const key = generateSigningKey('pass')
    writeFileSync(place.path('our.key'), key.privateKeyFile)
    writeFileSync(place.path('our.pub'), key.publicPem)
    await signImage({
      source: registryClient(registry, ours),
      sink: registrySink(registry, ours),
      manifestDigest: digest,
      reference: parseReference(ours),
      privateKey: parseSigningKey(key.privateKeyFile, 'pass'),
    })
    const verify = ['verify', '--insecure-ignore-tlog=true', '--key']
    await runTool('cosign', [...verify, place.path('our.pub'), ours], cosign)

    const theirs = `${registry.host}/team/theirs:v1`
    await pushPlain(registry, theirs, place)
    await runTool(
      'cosign',
      ['generate-key-pair', '--output-key-prefix', place.path('cosign')],
      cosign,
    )
    await assert.rejects(runTool('cosign', [...verify, place.path('cosign.pub'), ours], cosign))
    const sign = ['sign', '--yes', '--tlog-upload=false', '--key']
    await runTool(
      'cosign',
      [...sign, place.path('cosign.key'), `${theirs.slice(0, -3)}@${digest}`],
      cosign,
    )
    // Our key file signs in cosign's hands as well; both signatures lie under one tag.
    await runTool(
      'cosign',
      [...sign, place.path('our.key'), `${theirs.slice(0, -3)}@${digest}`],
      cosign,
    )
    const options = await pullFrom(registry, theirs, place)
    for (const file of ['cosign.pub', 'our.pub']) {
      const policy = requireSignature(readFileSync(place.path(file), 'utf8'))
      const pulled = await pullImage({ ...options, policy, directory: place.path(`root-${file}`) })
      assert.equal(pulled.signedBy.length, 1)
    }
    const policy = requireSignature(generateSigningKey('').publicPem)
    await assert.rejects(pullImage({ ...options, policy }), { code: 'image.signature-invalid' })
  },
)

test(
  'a registry with a wrong password, another certificate or no such image is told apart',
  { skip: missingTools('docker-registry') },
  async (t) => {
    const place = new Workplace(t)
    await using registry = await startRegistry()
    const name = `${registry.host}/team/app:v1`
    const digest = await pushPlain(registry, name, place)
    const reference = parseReference(name)
    const read = (client: RegistryClient, tag = 'v1') => client.document(tag)
    using transport = httpTransport({ ca: [registry.ca] })
    assert.notEqual(await read(registryClient(registry, name)), undefined)
    assert.equal(await read(registryClient(registry, name), 'v2'), undefined)
    const wrong = { user: registry.user, password: 'wrong' }
    const unauthorized = { code: 'registry.unauthorized' }
    await assert.rejects(
      read(new RegistryClient({ reference, transport, credentials: wrong })),
      unauthorized,
    )
    await assert.rejects(read(new RegistryClient({ reference, transport })), unauthorized)
    mkdirSync(place.path('stranger'))
    makeCertificate(place.path('stranger'))
    using stranger = httpTransport({ ca: [readFileSync(place.path('stranger/tls.crt'), 'utf8')] })
    await assert.rejects(read(new RegistryClient({ reference, transport: stranger })), {
      code: 'registry.tls-untrusted',
    })
    using publicRoots = httpTransport()
    await assert.rejects(read(new RegistryClient({ reference, transport: publicRoots })), {
      code: 'registry.tls-untrusted',
    })
    assert.match(digest, /^sha256:/)
  },
)

test('skopeo reads our layout endpoint', { skip: missingTools('skopeo') }, async (t) => {
  const place = new Workplace(t)
  const { digest } = await place.buildPlain()
  const server = createServer(serveLayout(place.path('plain')))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as { port: number }
  const from = `docker://127.0.0.1:${port}/any/name:v1`
  await runTool('skopeo', [
    'copy',
    '--src-tls-verify=false',
    from,
    `oci:${place.path('copied')}:v1`,
  ])
  const copied = await resolveImage(await openLayout(place.path('copied')), 'v1')
  assert.equal(copied.digest, digest)
})

test('keys that we write are read by OpenSSL', () => {
  const { privateKeyFile, publicPem } = generateSigningKey('')
  const pem = parseSigningKey(privateKeyFile).export({ type: 'pkcs8', format: 'pem' })
  assert.equal(
    createPublicKey(createPrivateKey(pem)).export({ type: 'spki', format: 'pem' }),
    publicPem,
  )
})

/** A directory for one test with an image in it. */
class Workplace {
  readonly #directory = mkdtempSync(join(tmpdir(), 'cloister-interop-'))

  constructor(t: TestContext) {
    t.after(() => rmSync(this.#directory, { recursive: true, force: true }))
  }

  path(name: string): string {
    return join(this.#directory, name)
  }

  async buildPlain(): Promise<{ digest: string }> {
    rmSync(this.path('one'), { recursive: true, force: true })
    for (const folder of ['one/bin', 'two/etc']) mkdirSync(this.path(folder), { recursive: true })
    writeFileSync(this.path('one/bin/app'), 'x'.repeat(100_000), { mode: 0o755 })
    symlinkSync('app', this.path('one/bin/link'))
    writeFileSync(this.path('one/old'), 'old')
    writeFileSync(this.path('two/etc/conf'), 'conf')
    writeFileSync(this.path('two/.wh.old'), '')
    return buildImage({
      sink: await LayoutWriter.open(this.path('plain')),
      tag: 'v1',
      layers: [{ directory: this.path('one') }, { directory: this.path('two') }],
      config: { Cmd: ['/bin/app'] },
    })
  }
}

function registryOptions(registry: TestRegistry, name: string) {
  const reference = parseReference(name)
  const transport = httpTransport({ ca: [registry.ca] })
  return { reference, transport, credentials: credentialsFor(registry.dockerConfig, reference) }
}

function registryClient(registry: TestRegistry, name: string): RegistryClient {
  return new RegistryClient(registryOptions(registry, name))
}

function registrySink(registry: TestRegistry, name: string): RegistrySink {
  return new RegistrySink(registryOptions(registry, name))
}

/** Builds straight into the registry. */
async function pushPlain(registry: TestRegistry, name: string, place: Workplace): Promise<string> {
  await place.buildPlain()
  const layers = ['one', 'two'].map((folder) => ({ directory: place.path(folder) }))
  const sink = registrySink(registry, name)
  return (await buildImage({ sink, tag: 'v1', layers, config: { Cmd: ['/bin/app'] } })).digest
}

async function pullFrom(
  registry: TestRegistry,
  name: string,
  place: Workplace,
): Promise<PullOptions> {
  const source = registryClient(registry, name)
  const { digest } = await resolveImage(source, 'v1')
  const reference = { ...parseReference(name), digest }
  return { source, reference, digest, directory: place.path('root') }
}

function requireSignature(publicPem: string) {
  const keyData = Buffer.from(publicPem).toString('base64')
  const signedIdentity = { type: 'matchRepository' }
  return parseSignaturePolicy({ default: [{ type: 'sigstoreSigned', keyData, signedIdentity }] })
}

/** Every path with its type, mode, size, owner and link target; not the root's own. */
function listing(directory: string): string[] {
  const format = '%P %y %m %s %U %T@ %l\n'
  const output = execFileSync(
    'find',
    [directory, '-mindepth', '1', '-not', '-type', 'd', '-printf', format],
    { encoding: 'utf8' },
  )
  return output.split('\n').toSorted()
}
