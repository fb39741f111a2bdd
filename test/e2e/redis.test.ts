/** Debian's redis-server, unmodified: encrypted, signed, from a registry with TLS and a password, used with its own client. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, startRegistry } from '../interop/test-registry.ts'
import { DebianSoftware } from './debian-software.ts'
import { Deployment } from './deployment.ts'
import { fetchMissingTools } from './missing-tools.ts'
import { publishImage, putSecret, SMALL_GUEST } from './published-image.ts'

test('redis', async (t) => {
  fetchMissingTools('docker-registry')
  const debian = await DebianSoftware.open()
  const directory = mkdtempSync(join(tmpdir(), 'cl-redis-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  await using registry = await startRegistry()
  await using deployment = await Deployment.create()
  const canary = randomBytes(16).toString('hex')
  const password = randomBytes(16).toString('hex')
  const stored = randomBytes(16).toString('hex')

  const root = join(directory, 'root')
  await debian.layOut(root, ['redis-tools', 'redis-server'], ['usr/bin/redis-server'], {
    redis: 101,
  })
  mkdirSync(join(root, 'data'))
  chmodSync(join(root, 'data'), 0o1777)
  writeFileSync(join(root, 'etc/motd'), canary)
  const settings = `bind 0.0.0.0\nrequirepass ${password}\ndir /data\ntcp-backlog 128\n`
  writeFileSync(join(directory, 'redis.conf'), settings)
  const published = await publishImage(deployment, {
    registry,
    name: 'debian/redis:v1',
    layers: [{ directory: root }],
    config: {
      Entrypoint: ['/usr/bin/redis-server'],
      Cmd: ['/run/secrets/redis.conf'],
      Env: ['PATH=/usr/bin'],
      User: 'redis',
      WorkingDir: '/data',
    },
    directory,
  })
  await putSecret(deployment, 'redis-conf', join(directory, 'redis.conf'))

  const port = await freePort()
  const started = await deployment.succeed(
    'run',
    published.image,
    ...SMALL_GUEST,
    ...published.runOptions,
    '--name',
    'cache',
    '--publish',
    `${port}:6379`,
    '--secret',
    'redis-conf:/run/secrets/redis.conf',
  )
  assert.equal(started.trust, 'simulated')
  assert.equal(started.image.digest, published.digest)

  const client = async (...words: string[]) => {
    const output = await debian.run('usr/bin/redis-cli', ['-p', String(port), ...words], {
      REDISCLI_AUTH: password,
    })
    return output.trim()
  }
  await t.test('answers its client', async () => {
    // `run` tells of the container's start; the server listens a moment later.
    let answer = ''
    for (let attempt = 0; attempt < 100 && answer !== 'PONG'; attempt++) {
      if (attempt > 0) await sleep(100)
      answer = await client('PING').catch(String)
    }
    assert.equal(answer, 'PONG')
    assert.equal(await client('SET', 'greeting', stored), 'OK')
    assert.equal(await client('SAVE'), 'OK')
    assert.equal(await client('GET', 'greeting'), stored)
    const benchmark = ['-p', String(port), '-a', password, '-n', '500', '-t', 'incr', '--csv']
    assert.match(await debian.run('usr/bin/redis-benchmark', benchmark), /INCR/)
    assert.equal(await client('GET', 'counter:__rand_int__'), '500')
  })

  await t.test('refuses a client without the password', async () => {
    const output = await debian.run('usr/bin/redis-cli', ['-p', String(port), 'PING'])
    assert.match(output, /NOAUTH/)
  })

  await t.test('is reached over the channel that the host cannot read', async () => {
    const local = await freePort()
    await using _ = await deployment.start('connect', 'cache', '6379', '--listen', String(local))
    assert.equal(await client('-p', String(local), 'GET', 'greeting'), stored)
  })

  await t.test('is listed and verified', async () => {
    const [row] = await deployment.succeed('ps')
    assert.deepEqual([row.name, row.state, row.trust], ['cache', 'running', 'simulated'])
    const verdict = await deployment.succeed('verify', 'cache')
    assert.equal(verdict.trust, 'simulated')
    assert.equal(verdict.launchDigest, started.launchDigest)
    const audit: { kind: string; outcome: string; workload?: string }[] = await deployment.succeed(
      'broker',
      'audit',
    )
    const attestations = audit.filter(({ kind }) => kind === 'attestation')
    assert.deepEqual(
      attestations.map(({ outcome }) => outcome),
      ['allowed'],
    )
  })

  await t.test('leaves no secret on the host', async () => {
    const places = ['hostd', 'run', 'broker'].map((folder) => join(deployment.home, folder))
    places.push(join(registry.directory, 'data'))
    const secrets = [registry.password, password, canary, stored]
    assert.deepEqual(await deployment.filesWith(secrets, ...places), [])
    // The search finds what is there: the name of the registry stands in the initdata.
    assert.notDeepEqual(await deployment.filesWith([registry.host], ...places), [])
  })

  await t.test('stops and is gone', async () => {
    const { state } = await deployment.succeed('stop', 'cache')
    assert.equal(state, 'exited')
    await deployment.succeed('rm', 'cache')
    await deployment.assertNoWorkloadLeft()
    await assert.rejects(client('PING'))
  })
})
