/** Through the CLI, against tools that we did not write: skopeo opens our images, cosign verifies them, and a guest runs what cosign signed. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildImage } from '@cloister/oci/build-image'
import { openLayout } from '@cloister/oci/layout'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { resolveImage } from '@cloister/oci/resolve-image'
import { startRegistry } from '../interop/test-registry.ts'
import { missingTools, runTool } from '../interop/tools.ts'
import { DebianSoftware } from './debian-software.ts'
import { Deployment } from './deployment.ts'
import { fetchMissingTools } from './missing-tools.ts'
import { putSecret, REGISTRY_LOGIN } from './published-image.ts'

test('skopeo and cosign', { skip: missingTools('skopeo') }, async (t) => {
  fetchMissingTools('docker-registry', 'cosign')
  const debian = await DebianSoftware.open()
  const directory = mkdtempSync(join(tmpdir(), 'cl-interop-'))
  const path = (name: string) => join(directory, name)
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  await using registry = await startRegistry()
  await using deployment = await Deployment.create()
  deployment.useDockerConfig(registry.directory)

  await debian.layOut(path('root'), ['redis-tools'], ['usr/bin/redis-cli'], {})
  const { digest: plainDigest } = await buildImage({
    sink: await LayoutWriter.open(path('plain')),
    tag: 'v1',
    layers: [{ directory: path('root') }],
    config: { Entrypoint: ['/usr/bin/redis-cli', '--version'] },
  })
  const image = `${registry.host}/team/app:v1`
  const trust = ['--registry-ca', registry.caFile]
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  writeFileSync(path('jwe.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
  writeFileSync(path('jwe.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const { digest } = await deployment.succeed(
    'image',
    'encrypt',
    `oci:${path('plain')}:v1`,
    image,
    '--allow-simulated',
    '--jwe',
    path('jwe.pub'),
    ...trust,
  )
  const environment = {
    SSL_CERT_FILE: registry.caFile,
    DOCKER_CONFIG: registry.directory,
    COSIGN_PASSWORD: 'pass',
    HOME: directory,
  }

  await t.test('skopeo opens what we encrypt', async () => {
    const login = ['--src-creds', `${registry.user}:${registry.password}`]
    const key = ['--decryption-key', path('jwe.pem')]
    const names = [`docker://${image}`, `oci:${path('opened')}:v1`]
    await runTool('skopeo', ['copy', ...login, ...key, ...names], environment)
    const opened = await resolveImage(await openLayout(path('opened')), 'v1')
    assert.equal(opened.digest, plainDigest)
  })

  await t.test('a guest runs what cosign signed, from a registry with a password', async () => {
    const prefix = ['--output-key-prefix', path('cosign')]
    await runTool('cosign', ['generate-key-pair', ...prefix], environment)
    const key = ['--key', path('cosign.key')]
    const named = `${registry.host}/team/app@${digest}`
    await runTool('cosign', ['sign', '--yes', '--tlog-upload=false', ...key, named], environment)
    await putSecret(deployment, REGISTRY_LOGIN, join(registry.directory, 'config.json'))
    const login = ['--registry-credentials', REGISTRY_LOGIN]
    const signed = ['--signed-by', path('cosign.pub')]
    const guest = ['--tee', 'simulated', '--memory', '512M', '--disk', '512M', '--logs']
    const words = ['run', image, ...trust, ...login, ...signed, ...guest]
    const { exit, stdout, stderr } = await deployment.run(words)
    assert.equal(exit, 0, stderr)
    assert.match(stdout, /^redis-cli \d/m)
    await deployment.succeed('rm', 'app')
    await deployment.assertNoWorkloadLeft()
  })

  await t.test('cosign verifies what we sign', async () => {
    const signed = await deployment.succeed('image', 'sign', image, ...trust)
    const verify = ['verify', '--insecure-ignore-tlog=true', '--key', signed.publicKey, image]
    const [claim] = JSON.parse(await runTool('cosign', verify, environment))
    assert.equal(claim.critical.image['docker-manifest-digest'], digest)
  })
})
