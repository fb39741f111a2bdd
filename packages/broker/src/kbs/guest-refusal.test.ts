import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RcarClient } from '../testing/rcar-client.ts'
import { refusal } from '../testing/rcar-client.ts'
import { hardwareWorld, registerWorkload, simulatedWorld, type World } from '../testing/world.ts'
import { fakeInitdata } from '../testing/fake-guest.ts'

const REFUSAL = {
  code: 'image.digest-mismatch',
  where: 'manifest',
  expected: 'sha256:a',
  received: 'sha256:b',
}
const PATH = '/guest-refusals'

async function attested(world: World, options: Parameters<World['guest']>[0] = {}) {
  const answer = await world.t.client.attest(world.guest(options))
  assert.equal(answer.status, 200, answer.text)
  const { token } = JSON.parse(answer.text) as { token: string }
  return { cookie: answer.challenge.cookie, token }
}

const tell = (client: RcarClient, cookie: string, body: unknown = REFUSAL) =>
  client.call('POST', PATH, { cookie }, body)

/** What guests have told, newest first. */
async function told({ t }: World) {
  const { entries } = (await t.owner('GET', '/audit?limit=100')) as { entries: { leaf: string }[] }
  return entries
    .map(({ leaf }) => JSON.parse(leaf) as Record<string, unknown>)
    .filter(({ kind }) => kind === 'guest')
}

describe('a refusal that a guest tells of', () => {
  test('stands in the audit as the word of the guest of that workload', async () => {
    await using world = await hardwareWorld()
    const { cookie } = await attested(world)
    assert.equal((await tell(world.t.client, cookie)).status, 204)
    const [entry] = await told(world)
    assert.deepEqual(
      [
        entry?.['kind'],
        entry?.['outcome'],
        entry?.['code'],
        entry?.['workload'],
        entry?.['checks'],
      ],
      ['guest', 'refused', REFUSAL.code, 'demo', [{ ...REFUSAL, outcome: 'fail' }]],
    )
  })

  test('needs the session: the token is known to the host', async () => {
    await using world = await hardwareWorld()
    const { client } = world.t
    const { token } = await attested(world)
    const bearer = await client.call('POST', PATH, { authorization: `Bearer ${token}` }, REFUSAL)
    assert.equal(refusal(bearer).code, 'kbs.token-absent')
    const unattested = await client.auth()
    for (const cookie of ['', unattested.cookie, `kbs-session-id=${'0'.repeat(32)}`])
      assert.equal(refusal(await tell(client, cookie)).code, 'kbs.token-absent')
    assert.deepEqual(await told(world), [])
  })

  test('is not taken from a guest that nobody registered, or whose registration has ended', async () => {
    await using world = await hardwareWorld()
    const { client } = world.t
    const stranger = await attested(world, { initdata: fakeInitdata({ name: 'stranger' }) })
    assert.equal(refusal(await tell(client, stranger.cookie)).code, 'release.refused')
    const unknownImage = await attested(world, {
      template: { measurement: Buffer.alloc(48, 0xee) },
    })
    assert.equal(refusal(await tell(client, unknownImage.cookie)).code, 'release.refused')
    const { cookie } = await attested(world)
    await registerWorkload(world, { revision: 2 })
    assert.equal(refusal(await tell(client, cookie)).code, 'release.refused')
    const newer = await attested(world, { initdata: fakeInitdata({ revision: 2 }) })
    await world.t.owner('POST', '/workloads/demo/withdraw', {})
    assert.equal(refusal(await tell(client, newer.cookie)).code, 'release.refused')
    assert.deepEqual(await told(world), [])
  })

  test('is not taken under a simulated root that is pinned no longer', async () => {
    await using world = await simulatedWorld()
    const { cookie } = await attested(world)
    assert.equal((await tell(world.t.client, cookie)).status, 204)
    await world.t.owner('DELETE', `/anchors/simulated/${world.amd.fingerprint}`)
    assert.equal(refusal(await tell(world.t.client, cookie)).code, 'release.refused')
  })

  test('is taken eight times from a session', async () => {
    await using world = await hardwareWorld()
    const { cookie } = await attested(world)
    const statuses: number[] = []
    for (let index = 0; index < 10; index++)
      statuses.push((await tell(world.t.client, cookie)).status)
    assert.deepEqual(
      statuses.slice(0, 8),
      Array.from({ length: 8 }, () => 204),
    )
    assert.ok(statuses.slice(8).every((status) => status >= 400))
    assert.equal((await told(world)).length, 8)
  })

  test('is held to its shape: codes of a guest, short texts, no other member', async () => {
    await using world = await hardwareWorld()
    const { client } = world.t
    const { cookie } = await attested(world)
    for (const body of [
      '',
      '{',
      [],
      {},
      { ...REFUSAL, code: 'release.refused' },
      { ...REFUSAL, code: 'snp.policy.debug' },
      { ...REFUSAL, code: 'image.no-such-code' },
      { ...REFUSAL, code: '__proto__' },
      { ...REFUSAL, received: 'x'.repeat(1025) },
      { ...REFUSAL, received: 7 },
      { ...REFUSAL, workload: 'other' },
      { ...REFUSAL, kind: 'admin' },
    ])
      assert.equal(refusal(await tell(client, cookie, body)).code, 'request.malformed')
    const large = await tell(client, cookie, { ...REFUSAL, where: 'x'.repeat(17 << 10) })
    assert.equal(refusal(large).code, 'broker.body-too-large')
    assert.deepEqual(await told(world), [])
  })
})
