/** The attacks on releases once more, against policies in Rego that leave everything else open: refused, with the reason in the audit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeChipId, FAKE_MEASUREMENT } from '@cloister/broker/testing/fake-guest'
import { refusal } from '@cloister/broker/testing/rcar-client'
import { fakePolicy, SECRET_PATH } from '@cloister/broker/testing/test-broker'
import { refusalOf, registerWorkload, type World } from '@cloister/broker/testing/world'
import type { AuditEntry, ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import {
  silentHardwareWorld as hardwareWorld,
  silentSimulatedWorld as simulatedWorld,
} from './support/silent-world.ts'

const MINUTE_MS = 60_000
const ZERO_TCB = { bootloader: 0, tee: 0, snp: 0, microcode: 0 }

/** What the policy of fakePolicy() demands of workload, image, TCB and chip is left to Rego. */
const OPEN = {
  anchors: ['amd', 'simulated'],
  workloads: [{ name: 'demo' }, { name: 'other' }],
  minimumTcb: { Milan: ZERO_TCB, Genoa: ZERO_TCB, Turin: ZERO_TCB },
  platforms: 'any',
  allowDegraded: true,
} as const satisfies Partial<ReleasePolicyInput>

const HEAD = 'package policy\n\nimport rego.v1\n\ndefault allow := false\n'
const EVIDENCE = 'input.submods.cpu0["ear.veraison.annotated-evidence"]'
const rule = (...body: string[]) => `${HEAD}allow if {\n\t${body.join('\n\t')}\n}\n`

const AFFIRMING = rule(
  'data.plugin == "resource"',
  'input.submods.cpu0["ear.status"] == "affirming"',
)
/** As Trustee's default resource policy: no sample evidence. */
const NO_SAMPLE = rule('data.plugin == "resource"', `not ${EVIDENCE}.sample`)
const BY_WORKLOAD = rule(
  `workload := json.unmarshal(${EVIDENCE}.init_data_claims["cloister.json"])`,
  'workload.name == "demo"',
  'workload.revision >= 1',
)
const BY_MEASUREMENT = rule(`${EVIDENCE}.snp.measurement == "${FAKE_MEASUREMENT}"`)
const BY_CHIP = rule(
  `${EVIDENCE}.snp.chip_id == "${Buffer.from(fakeChipId('Genoa')).toString('hex')}"`,
)
const BY_TCB = rule(`${EVIDENCE}.snp.reported_tcb_microcode >= 255`)
const BY_PATH = rule('data["resource-path"] == ["default", "demo", "secret"]')
const ALLOW = rule('true')

const under = (rego: string, more: Partial<ReleasePolicyInput> = {}) =>
  fakePolicy({ ...OPEN, ...more, rego })

async function attempt(world: World, guest = world.guest(), path = SECRET_PATH) {
  const answer = await world.t.client.resource(guest, path)
  assert.ok(!Buffer.isBuffer(answer), 'the secret was released')
  assert.deepEqual([answer.status, answer.code], [401, 'release.refused'])
  return world.t.audit(answer.requestId)
}

/** The refusal was Rego's alone, and its record says where. */
function assertExplained({ code, checks }: AuditEntry, place: RegExp): void {
  assert.equal(code, 'release.rego')
  const failed = checks.filter(({ outcome }) => outcome === 'fail')
  assert.deepEqual(
    failed.map((check) => check.code),
    ['release.rego'],
  )
  assert.match(failed[0]?.received ?? '', place)
}

test('good evidence passes each of the policies that it fits', async () => {
  await using world = await hardwareWorld()
  for (const rego of [AFFIRMING, NO_SAMPLE, BY_WORKLOAD, BY_MEASUREMENT, BY_CHIP, BY_PATH]) {
    await world.t.owner('PUT', `/release-policies/${SECRET_PATH}`, under(rego))
    assert.deepEqual(await world.t.client.resource(world.guest(), SECRET_PATH), world.secret)
  }
})

test('a simulated TEE is refused by a policy against samples, though all else allows it', async () => {
  await using world = await simulatedWorld({ policy: under(NO_SAMPLE) })
  const entry = await attempt(world)
  assertExplained(entry, /data\.policy\.allow \(line 6\): line 8: not input\.submods\.cpu0/)
})

test('a simulated TEE never affirms', async () => {
  await using world = await simulatedWorld({ policy: under(AFFIRMING) })
  assertExplained(await attempt(world), /\["ear\.status"\] = "contraindicated"/)
})

test('another workload is refused by a policy that reads the initdata', async () => {
  await using world = await hardwareWorld({ policy: under(BY_WORKLOAD) })
  const initdata = await registerWorkload(world, { name: 'other' })
  assertExplained(await attempt(world, world.guest({ initdata })), /workload\.name = "other"/)
})

test('another guest image, chip or TCB is refused by policies that name one', async () => {
  await using world = await hardwareWorld({ policy: under(BY_TCB) })
  assertExplained(await attempt(world), /reported_tcb_microcode >= 255/)
  const other = { chip: BY_CHIP, image: BY_MEASUREMENT }
  for (const [what, rego] of Object.entries(other)) {
    const changed = rego.replaceAll(/"[0-9a-f]{96,}"/g, '"00"')
    await world.t.owner('PUT', `/release-policies/${SECRET_PATH}`, under(changed))
    assertExplained(await attempt(world), what === 'chip' ? /chip_id == "00"/ : /== "00"/)
  }
})

test('a secret under another path is refused by a policy of the path', async () => {
  await using world = await hardwareWorld()
  const path = 'default/demo/other'
  await world.t.owner('PUT', `/secrets/${path}`, { value: 'c2VjcmV0', release: under(BY_PATH) })
  assertExplained(await attempt(world, world.guest(), path), /\["default", "demo", "other"\]/)
})

test('a policy of now decides over a token of before', async () => {
  await using world = await hardwareWorld({ policy: under(ALLOW) })
  const { text } = await world.t.client.attest(world.guest())
  const headers = { authorization: `Bearer ${(JSON.parse(text) as { token: string }).token}` }
  const get = () => world.t.client.call('GET', `/resource/${SECRET_PATH}`, headers)
  assert.equal((await get()).status, 200)
  await world.t.owner('PUT', `/release-policies/${SECRET_PATH}`, under(BY_TCB))
  assertExplained(await world.t.audit(refusal(await get()).requestId), /reported_tcb_microcode/)
})

test('Rego that allows everything opens nothing: each attack is refused as before', async () => {
  const policy = fakePolicy({ rego: ALLOW })
  await using world = await hardwareWorld({ policy })
  const other = await registerWorkload(world, { name: 'other' })
  const refusedAs = async (code: string, guest = world.guest()) =>
    assert.equal((await refusalOf(world, guest)).code, code)
  await refusedAs('release.workload-not-listed', world.guest({ initdata: other }))
  const measurement = Buffer.alloc(48, 0xef)
  await refusedAs('release.measurement-unknown', world.guest({ template: { measurement } }))
  await registerWorkload(world, { revision: 2 })
  await refusedAs('release.workload-superseded')
  await world.t.owner('POST', '/workloads/demo/withdraw', {})
  await refusedAs('release.workload-withdrawn')
  await world.t.owner('POST', '/guest-images/base/withdraw', { imageVersion: 1 })
  await refusedAs('release.image-withdrawn')
})

test('Rego that allows everything gives a simulated TEE no secret for hardware', async () => {
  const policy = fakePolicy({ anchors: ['amd'], rego: ALLOW })
  await using world = await simulatedWorld({ policy })
  assert.equal((await refusalOf(world, world.guest())).code, 'release.anchors')
})

test('Rego that allows everything does not prolong a token', async () => {
  let now = Date.now()
  await using world = await hardwareWorld({ now: () => now, policy: under(ALLOW) })
  const { text } = await world.t.client.attest(world.guest())
  now += 6 * MINUTE_MS
  const headers = { authorization: `Bearer ${(JSON.parse(text) as { token: string }).token}` }
  const answer = await world.t.client.call('GET', `/resource/${SECRET_PATH}`, headers)
  assert.equal(refusal(answer).code, 'kbs.token')
})

test('a policy that runs for ever, fails or contradicts itself refuses', async () => {
  await using world = await hardwareWorld()
  const hostile = {
    'rego.limit': rule('count([x | x := numbers.range(1, 9999999)[_]]) > 0'),
    'rego.conflict': `${HEAD}allow := x if some x in [true, 1]`,
    'is not true': 'package policy\nallowed := true',
  }
  for (const [why, rego] of Object.entries(hostile)) {
    await world.t.owner('PUT', `/release-policies/${SECRET_PATH}`, under(rego))
    assertExplained(await attempt(world), new RegExp(why.replace('.', '\\.')))
  }
})

test('Rego that could never be asked is not taken', async () => {
  await using world = await hardwareWorld()
  const unusable = [
    'allow := true',
    'package other\nallow := true',
    'package policy\nallow { true }',
    'package policy\nallow if http.send({"url": "https://x"})',
    'package policy\nallow if allow',
    '',
  ]
  for (const rego of unusable)
    for (const [path, body] of [
      [`/release-policies/${SECRET_PATH}`, under(rego)],
      [`/secrets/${SECRET_PATH}`, { value: 'c2VjcmV0', release: under(rego) }],
    ] as const) {
      const { status, text } = await world.t.admin('PUT', path, body)
      assert.equal(status, 400, rego)
      const { code } = JSON.parse(text) as { code: string }
      assert.equal(code, rego === '' ? 'request.malformed' : 'broker.rego', rego)
    }
  assert.deepEqual(await world.t.client.resource(world.guest(), SECRET_PATH), world.secret)
})
