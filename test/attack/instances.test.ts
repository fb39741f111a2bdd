/** Attacks on the number of instances: a disk copied and started a second time, while the first runs or instead of it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { refusal } from '@cloister/broker/testing/rcar-client'
import {
  fakePolicy,
  registerDemo,
  SECRET_PATH,
  startTestBroker,
} from '@cloister/broker/testing/test-broker'
import { fakeInitdata, FakeGuest } from '@cloister/broker/testing/fake-guest'
import { refusalOf, registerWorkload, type World } from '@cloister/broker/testing/world'
import { InstanceListSchema } from '@cloister/protocol/broker-admin-api'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { silentHardwareWorld as hardwareWorld } from './support/silent-world.ts'

const MINUTE_MS = 60_000
const FULL = { step: 'attestation', code: 'attestation.instances' }

async function limited(instances: number) {
  let time = Date.now()
  const world = await hardwareWorld({ now: () => time })
  const initdata = await registerWorkload(world, { revision: 2, instances })
  return {
    world,
    guest: () => world.guest({ initdata }),
    initdata,
    wait: (ms: number) => {
      time += ms
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

const getsSecret = async (world: World, guest: FakeGuest) =>
  assert.deepEqual(await world.t.client.resource(guest, SECRET_PATH), world.secret)

const live = async ({ t }: Pick<World, 't'>) =>
  InstanceListSchema.parse(await t.owner('GET', '/instances')).instances

test('a disk copied and started a second time gets nothing while the first lives', async () => {
  await using field = await limited(1)
  const { world } = field
  const [first, fork] = [field.guest(), field.guest()]
  await getsSecret(world, first)
  for (let minute = 0; minute < 12; minute += 4) {
    assert.deepEqual(await refusalOf(world, fork), FULL)
    field.wait(4 * MINUTE_MS)
    await getsSecret(world, first)
  }
  const [only, ...others] = await live(world)
  assert.deepEqual([only?.workload, only?.revision, only?.limit], ['demo', 2, 1])
  assert.equal(others.length, 0)
  const answer = await world.t.client.attest(fork)
  const entry = await world.t.audit(refusal(answer).requestId)
  const check = entry.checks.find(({ code }) => code === FULL.code)
  assert.equal(check?.expected, '1 at most')
  assert.match(check?.received ?? '', new RegExp(`^[0-9a-f]{64} beside ${only?.key}$`))
  assert.deepEqual([entry.workload, entry.revision], ['demo', 2])
})

test('both at once: one of them is the first', async () => {
  await using field = await limited(1)
  const { world } = field
  const guests = Array.from({ length: 6 }, field.guest)
  const answers = await Promise.all(guests.map((guest) => world.t.client.attest(guest)))
  assert.deepEqual(
    answers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 401, 401, 401, 401, 401],
  )
})

test('an instance that does not renew makes room when its token ends, and then is the one too many', async () => {
  await using field = await limited(1)
  const { world } = field
  const [first, second] = [field.guest(), field.guest()]
  await getsSecret(world, first)
  field.wait(5 * MINUTE_MS - 1500)
  assert.deepEqual(await refusalOf(world, second), FULL)
  field.wait(1500)
  await getsSecret(world, second)
  assert.deepEqual(await refusalOf(world, first), FULL)
  assert.equal((await live(world)).length, 1)
})

test('an instance that the owner ends gets nothing by its token and no other token, and makes room at once', async () => {
  await using field = await limited(1)
  const { world } = field
  const [first, second] = [field.guest(), field.guest()]
  const { text } = await world.t.client.attest(first)
  const { token } = JSON.parse(text) as { token: string }
  const [instance] = await live(world)
  assert.deepEqual(await world.t.owner('DELETE', `/instances/${instance?.key}`), { lived: true })
  const authorization = `Bearer ${token}`
  const answer = await world.t.client.call('GET', `/resource/${SECRET_PATH}`, { authorization })
  assert.equal((await world.t.audit(refusal(answer).requestId)).code, 'release.instance')
  assert.deepEqual(await refusalOf(world, first), FULL)
  await getsSecret(world, second)
  field.wait(20 * MINUTE_MS)
  assert.deepEqual(await refusalOf(world, first), FULL)
  assert.deepEqual(await world.t.owner('DELETE', `/instances/${instance?.key}`), { lived: false })
  assert.equal((await world.t.admin('DELETE', '/instances/x')).status, 400)
})

test('a guest of another image takes no place, nor does one of another revision', async () => {
  await using field = await limited(1)
  const { world } = field
  const measurement = Buffer.alloc(48, 7)
  const foreign = world.guest({ initdata: field.initdata, template: { measurement } })
  assert.equal((await world.t.client.attest(foreign)).status, 200)
  assert.equal((await world.t.client.attest(world.guest())).status, 200)
  await getsSecret(world, field.guest())
  assert.deepEqual(await refusalOf(world, foreign), {
    step: 'release',
    code: 'release.measurement-unknown',
  })
})

test('an instance that the owner ends after its lease is over gets nothing when it comes back', async () => {
  await using field = await limited(1)
  const { world } = field
  const [first, second] = [field.guest(), field.guest()]
  await getsSecret(world, first)
  const [instance] = await live(world)
  field.wait(6 * MINUTE_MS)
  // Another that comes takes what was kept of the first out of the database.
  await getsSecret(world, second)
  field.wait(6 * MINUTE_MS)
  assert.deepEqual(await world.t.owner('DELETE', `/instances/${instance?.key}`), { lived: false })
  assert.deepEqual(await refusalOf(world, first), FULL)
  // Of every revision.
  const initdata = await registerWorkload(world, { revision: 3, instances: 1 })
  await getsSecret(world, world.guest({ initdata }))
})

test('a machine to which no secret of the workload would go holds no place', async () => {
  await using field = await limited(1)
  const { world } = field
  const foreignTcb = { bootloader: 9, tee: 1, snp: 25, microcode: 72, fmc: null }
  const old = () => world.guest({ initdata: field.initdata, template: { tcb: foreignTcb } })
  const { text } = await world.t.client.attest(old())
  const { token } = JSON.parse(text) as { token: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  assert.equal(claims.submods.cpu0['ear.status'], 'warning')
  assert.deepEqual(await live(world), [])
  const refused = { step: 'release', code: 'release.tcb.reported' }
  assert.deepEqual(await refusalOf(world, old()), refused)
  const own = field.guest()
  await getsSecret(world, own)
  // Nor does it hear of others that it is one too many, nor end what they hold.
  assert.deepEqual(await refusalOf(world, old()), refused)
  await getsSecret(world, own)
  await world.t.owner(
    'PUT',
    `/release-policies/${SECRET_PATH}`,
    fakePolicy({ platforms: 'enrolled' }),
  )
  field.wait(6 * MINUTE_MS)
  assert.deepEqual(await refusalOf(world, own), { step: 'release', code: 'release.platform' })
  assert.deepEqual(await live(world), [])
})

test('where another secret of the workload would go to a machine, it holds a place', async () => {
  await using field = await limited(1)
  const { world } = field
  await world.t.owner('PUT', '/secrets/default/demo/zweites', {
    value: Buffer.from('x').toString('base64'),
    allowSimulated: false,
    release: fakePolicy({
      rego: 'package policy\nimport rego.v1\ndefault allow := false\nallow if input.submods',
    }),
  })
  await world.t.owner(
    'PUT',
    `/release-policies/${SECRET_PATH}`,
    fakePolicy({ platforms: 'enrolled' }),
  )
  assert.equal((await world.t.client.attest(field.guest())).status, 200)
  assert.equal((await live(world)).length, 1)
  assert.equal((await world.t.client.attest(field.guest())).status, 401)
})

test('a place is given back when the attestation comes to nothing after it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-instances-test-'))
  const journal = join(directory, 'audit.journal')
  try {
    const amd = new FakeAmd()
    const initdata = fakeInitdata({ instances: 1 })
    const now = Date.now()
    const list = amd.revocationList(new Date(now - 3_600_000), new Date(now + 3_600_000))
    const guest = () => new FakeGuest({ amd, initdata, revocationLists: [list] })
    const start = () =>
      startTestBroker({ directory, appraisers: { snp: amd.appraise.bind(amd) }, onBug: () => {} })
    {
      await using t = await start()
      await registerDemo(t, { initdata, value: Buffer.from('s') })
    }
    rmSync(journal)
    symlinkSync('/dev/full', journal)
    {
      await using t = await start()
      assert.equal(refusal(await t.client.attest(guest())).code, 'host.disk-full')
      assert.deepEqual(await live({ t }), [])
    }
    rmSync(journal)
    await using t = await start()
    assert.equal((await t.client.attest(guest())).status, 200)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('of two instances the third is one too many; without a number there is no end', async () => {
  await using field = await limited(2)
  const { world } = field
  await getsSecret(world, field.guest())
  await getsSecret(world, field.guest())
  assert.deepEqual(await refusalOf(world, field.guest()), FULL)
  const initdata = await registerWorkload(world, { revision: 3 })
  for (let n = 0; n < 4; n++) await getsSecret(world, world.guest({ initdata }))
})

test('a broker that starts again makes no room', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-instances-test-'))
  try {
    const amd = new FakeAmd()
    const initdata = fakeInitdata({ instances: 1 })
    const now = Date.now()
    const list = amd.revocationList(new Date(now - 3_600_000), new Date(now + 3_600_000))
    const guest = () => new FakeGuest({ amd, initdata, revocationLists: [list] })
    const statuses: number[] = []
    for (let start = 0; start < 2; start++) {
      await using t = await startTestBroker({
        directory,
        appraisers: { snp: amd.appraise.bind(amd) },
      })
      if (start === 0) await registerDemo(t, { initdata, value: Buffer.from('s') })
      statuses.push((await t.client.attest(guest())).status)
    }
    assert.deepEqual(statuses, [200, 401])
  } finally {
    rmSync(directory, { recursive: true })
  }
})
