/** The owner's whole way, from files to the secret in the guest, against a processor that is played; the host between them may lie. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isCode } from '@cloister/protocol/testing'
import type { SevLaunchRequest, SevSecret, VmView } from '@cloister/protocol/hostd-vm-api'
import { FakeSev, type FakeSevLaunch } from '@cloister/verifier/testing/fake-sev'
import { amdSevFirmware } from '@cloister/launcher/testing/measured-files'
import { expectedLaunch, keepCpus, keepDirectBoot, readDirectBoot } from './direct-boot.ts'
import { DISK_SECRET_GUID, encodeSecretTable } from './launch-secret.ts'
import { startWithSecret } from './start-with-secret.ts'

const home = mkdtempSync(join(tmpdir(), 'cloister-sev-'))
after(() => rmSync(home, { recursive: true, force: true }))
const directories = { owner: join(home, 'owner') }
const processor = new FakeSev()
const PASSPHRASE = Buffer.from('open sesame')
const SECRETS = [{ guid: DISK_SECRET_GUID, value: PASSPHRASE }]

function file(name: string, content: Uint8Array | string): string {
  const path = join(home, name)
  writeFileSync(path, content)
  return path
}

async function made(name: string, tee = 'sev', cpus = 2) {
  const files = {
    kernel: file('kernel', 'kernel'),
    initrd: file('initrd', 'initrd'),
    commandLine: 'quiet',
  }
  const boot = await readDirectBoot(files, { tee, cpus }, file('firmware', amdSevFirmware()))
  await keepDirectBoot(directories, name, boot)
}

/** What the host launches; `policy` is what it tells the firmware. */
function host(launchDigest: Uint8Array, policy: number) {
  const said: string[] = []
  let launch: FakeSevLaunch | undefined
  let inGuest: Buffer | undefined
  return {
    said,
    inGuest: () => inGuest,
    vms: {
      launchWithOwner: async (_name: string, owner: SevLaunchRequest) => {
        said.push('launch')
        launch = processor.launch(owner, policy, launchDigest)
        return { measurement: launch.measurement, api: processor.api }
      },
      giveSecret: async (_name: string, { header, secret }: SevSecret) => {
        said.push('secret')
        inGuest = launch?.open(header, secret)
        return { state: 'running' } as VmView
      },
      refuseLaunch: async () => void said.push('refuse'),
    },
  }
}

const context = { talk: () => undefined, signal: AbortSignal.timeout(60_000) }
const { chain: platform, roots } = processor

for (const tee of ['sev', 'sev-es'] as const)
  test(`${tee}: the secret is in the guest that was measured`, async () => {
    await made('vault', tee)
    const expected = await expectedLaunch(directories, 'vault')
    assert.equal(expected.policy, tee === 'sev' ? 0xb : 0xf)
    const own = host(expected.launchDigest, expected.policy)
    const start = { name: 'vault', secrets: SECRETS, platform, expected, roots }
    assert.equal((await startWithSecret(start, own, context)).state, 'running')
    assert.deepEqual(own.said, ['launch', 'secret'])
    assert.deepEqual(own.inGuest(), encodeSecretTable(SECRETS, 0xc00))
  })

test('a host that launches anything else gets no secret', async () => {
  await made('vault', 'sev-es')
  const expected = await expectedLaunch(directories, 'vault')
  const start = { name: 'vault', secrets: SECRETS, platform, expected, roots }
  const refused = async () => {
    const other = host((await expectedLaunch(directories, 'vault')).launchDigest, expected.policy)
    await assert.rejects(startWithSecret(start, other, context), isCode('vm.launch-measurement'))
    assert.deepEqual(other.said, ['launch', 'refuse'])
  }
  await keepCpus(directories, 'vault', 3)
  await refused()
  // The older tier, for a VM that was made for SEV-ES.
  await made('vault', 'sev')
  await refused()
  const weaker = host(expected.launchDigest, 0xb)
  await assert.rejects(startWithSecret(start, weaker, context), /MAC of the policy/)
})

test('a firmware that is older than demanded gets no secret, whatever the host says of it', async () => {
  await made('vault')
  const expected = await expectedLaunch(directories, 'vault')
  const start = { name: 'vault', secrets: SECRETS, platform, expected, roots }
  const { major, minor, build } = processor.api
  const newer = { ...start, minimumFirmware: { major, minor, build: build + 1 } }
  const own = host(expected.launchDigest, expected.policy)
  await assert.rejects(startWithSecret(newer, own, context), isCode('vm.launch-firmware'))
  assert.deepEqual(own.said, ['launch', 'refuse'])

  const liar = host(expected.launchDigest, expected.policy)
  const launch = liar.vms.launchWithOwner
  liar.vms.launchWithOwner = async (name, owner) => {
    const { measurement, api } = await launch(name, owner)
    return { measurement, api: { ...api, build: build + 1 } } as never
  }
  await assert.rejects(startWithSecret(newer, liar, context), isCode('vm.launch-measurement'))
  assert.deepEqual(liar.said, ['launch', 'refuse'])
  const same = { ...start, minimumFirmware: processor.api }
  const right = host(expected.launchDigest, expected.policy)
  assert.equal((await startWithSecret(same, right, context)).state, 'running')
})

test('an owner who breaks off before the measurement came waits until nothing is left; what others began is left alone', async () => {
  await made('vault')
  const expected = await expectedLaunch(directories, 'vault')
  const start = { name: 'vault', secrets: SECRETS, platform, expected, roots }
  for (const isInterrupted of [true, false]) {
    const own = host(expected.launchDigest, expected.policy)
    const interrupt = new AbortController()
    own.vms.launchWithOwner = async () => {
      own.said.push('launch')
      if (isInterrupted) interrupt.abort()
      throw new Error('no answer')
    }
    await assert.rejects(startWithSecret(start, own, { ...context, signal: interrupt.signal }))
    assert.deepEqual(own.said, isInterrupted ? ['launch', 'refuse'] : ['launch'])
  }
})

test('another kernel, initrd, command line or firmware is another launch', async () => {
  const of = async () => (await expectedLaunch(directories, 'vault')).launchDigest
  const digests = new Set<string>()
  for (const change of ['kernel', 'initrd', 'commandLine', 'firmware', ''] as const) {
    const firmware = amdSevFirmware()
    if (change === 'firmware') firmware[0x800] = 1
    const files = {
      kernel: file('k', `k${change === 'kernel'}`),
      initrd: file('i', `i${change === 'initrd'}`),
      commandLine: `${change === 'commandLine'}`,
    }
    const shape = { tee: 'sev', cpus: 1 }
    const boot = await readDirectBoot(files, shape, file('f', firmware))
    await keepDirectBoot(directories, 'vault', boot)
    digests.add(Buffer.from(await of()).toString('hex'))
  }
  assert.equal(digests.size, 5)
})

test('no session is opened with a platform that AMD did not certify', async () => {
  await made('vault')
  const expected = await expectedLaunch(directories, 'vault')
  const own = host(expected.launchDigest, expected.policy)
  const start = { name: 'vault', secrets: SECRETS, expected }
  for (const [bytes, known] of [
    [platform, undefined],
    [platform.subarray(1), roots],
    [new Uint8Array(), roots],
  ] as const)
    await assert.rejects(
      startWithSecret({ ...start, platform: bytes, ...(known && { roots: known }) }, own, context),
      isCode('vm.launch-platform'),
    )
  assert.deepEqual(own.said, [])
})

test('nothing is expected of a VM that was not made here for it', async () => {
  await assert.rejects(expectedLaunch(directories, 'absent'), isCode('vm.combination-unfit'))
  await keepCpus(directories, 'absent', 2)
  await assert.rejects(expectedLaunch(directories, 'absent'), isCode('vm.combination-unfit'))
})
