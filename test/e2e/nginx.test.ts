/** Debian's nginx, unmodified, with a TLS key that only the broker and the guest hold: encrypted, signed, from a registry with a password, used with curl. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, makeCertificate, startRegistry } from '../interop/test-registry.ts'
import { DebianSoftware } from './debian-software.ts'
import { Deployment } from './deployment.ts'
import { fetchMissingTools } from './missing-tools.ts'
import { publishImage, putSecret, SMALL_GUEST } from './published-image.ts'

const SITE = `server {
  listen 8443 ssl;
  ssl_certificate /etc/nginx/site.crt;
  ssl_certificate_key /run/secrets/site.key;
  root /srv/site;
}
`

test('nginx', async (t) => {
  fetchMissingTools('docker-registry')
  const debian = await DebianSoftware.open()
  const directory = mkdtempSync(join(tmpdir(), 'cl-nginx-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  await using registry = await startRegistry()
  await using deployment = await Deployment.create()
  const canary = randomBytes(16).toString('hex')
  const key = join(directory, 'tls.key')
  const certificate = join(directory, 'tls.crt')
  makeCertificate(directory)

  const [software, site] = [join(directory, 'software'), join(directory, 'site')]
  await debian.layOut(software, ['nginx-common', 'nginx'], ['usr/sbin/nginx'], { 'www-data': 33 })
  mkdirSync(join(site, 'etc/nginx/sites-enabled'), { recursive: true })
  mkdirSync(join(site, 'srv/site'), { recursive: true })
  writeFileSync(join(site, 'etc/nginx/sites-enabled/site'), SITE)
  writeFileSync(join(site, 'etc/nginx/site.crt'), readFileSync(certificate))
  writeFileSync(join(site, 'srv/site/index.html'), `<h1>${canary}</h1>\n`)
  writeFileSync(join(site, 'srv/site/large.bin'), Buffer.alloc(4 << 20, canary))
  const published = await publishImage(deployment, {
    registry,
    name: 'debian/nginx:v1',
    layers: [{ directory: software }, { directory: site }],
    config: {
      Entrypoint: ['/usr/sbin/nginx', '-g', 'daemon off;'],
      Env: ['PATH=/usr/sbin:/usr/bin'],
      StopSignal: 'SIGQUIT',
    },
    directory,
  })
  await putSecret(deployment, 'site-key', key)

  const port = await freePort()
  const started = await deployment.succeed(
    'run',
    published.image,
    ...SMALL_GUEST,
    ...published.runOptions,
    '--publish',
    `${port}:8443`,
    '--secret',
    'site-key:/run/secrets/site.key',
  )
  assert.deepEqual([started.name, started.trust], ['nginx', 'simulated'])

  const curl = async (path: string, ...words: string[]) => {
    const url = `https://localhost:${port}${path}`
    const fixed = [
      '--silent',
      '--show-error',
      '--ipv4',
      '--cacert',
      certificate,
      '--max-time',
      '30',
    ]
    return await debian.run('usr/bin/curl', [...fixed, ...words, url])
  }
  await t.test('answers its client, under the key of the broker', async () => {
    // `run` tells of the container's start; the server listens a moment later.
    let answer = ''
    for (let attempt = 0; attempt < 100 && !answer.startsWith('<h1>'); attempt++) {
      if (attempt > 0) await sleep(100)
      answer = await curl('/').catch(String)
    }
    assert.equal(answer, `<h1>${canary}</h1>\n`)
    assert.match(await curl('/', '--head'), /^HTTP\/1\.1 200 OK\r\nServer: nginx\r\n/)
    assert.match(await curl('/absent', '--head'), /^HTTP\/1\.1 404/)
  })

  await t.test('carries large answers, several at once', async () => {
    const sizes = await Promise.all(
      Array.from({ length: 4 }, async () => {
        return await curl('/large.bin', '--output', '/dev/null', '--write-out', '%{size_download}')
      }),
    )
    assert.deepEqual(
      sizes,
      Array.from({ length: 4 }, () => String(4 << 20)),
    )
  })

  await t.test('is verified', async () => {
    const verdict = await deployment.succeed('verify', 'nginx')
    assert.deepEqual([verdict.trust, verdict.launchDigest], ['simulated', started.launchDigest])
  })

  await t.test('leaves no secret on the host', async () => {
    const places = ['hostd', 'run', 'broker'].map((folder) => join(deployment.home, folder))
    places.push(join(registry.directory, 'data'))
    const lineOfKey = readFileSync(key, 'utf8').split('\n')[1]!
    const secrets = [registry.password, canary, lineOfKey]
    assert.deepEqual(await deployment.filesWith(secrets, ...places), [])
  })

  await t.test('stops and is gone', async () => {
    const { state } = await deployment.succeed('stop', 'nginx')
    assert.equal(state, 'exited')
    await deployment.succeed('rm', 'nginx')
    await deployment.assertNoWorkloadLeft()
    await assert.rejects(curl('/'))
  })
})
