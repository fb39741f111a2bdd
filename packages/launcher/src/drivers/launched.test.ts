/** Recorded dialogues: the answers have the members of QEMU's schema (qapi/misc-i386.json), with values of real launches. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QmpClient } from '../qmp.ts'
import type { SevLaunch, SevSecret, VmSpec } from '../vm-spec.ts'
import { exchangeSecret, requireSev } from './sev-state.ts'
import { DRIVERS } from './table.ts'

type Turn = readonly [command: string, options: object, answer: unknown]

/** A QEMU that knows this dialogue and no other. */
function recorded(turns: readonly Turn[]) {
  const left = [...turns]
  const execute = (command: string, options: object = {}) => {
    const turn = left.shift()
    assert.deepEqual([command, options], turn?.slice(0, 2))
    return Promise.resolve(turn?.[2])
  }
  return { qmp: { execute } as unknown as QmpClient, left }
}

const SNP = {
  enabled: true,
  'api-major': 1,
  'api-minor': 55,
  'build-id': 40,
  state: 'launch-update',
  'sev-type': 'sev-snp',
  'snp-policy': 0x30000,
}
const ES = {
  enabled: true,
  'api-major': 0,
  'api-minor': 24,
  'build-id': 15,
  state: 'launch-secret',
  policy: 0xf,
  handle: 1,
}
const spec = (change: Partial<VmSpec>) => ({ mode: 'hardware', ...change }) as VmSpec

test('snp: the launch is what was asked for', async () => {
  const { qmp, left } = recorded([['query-sev', {}, SNP]])
  await DRIVERS.snp.launched?.(qmp, spec({ tee: 'snp' }))
  assert.equal(left.length, 0)
})

for (const [name, answer] of Object.entries({
  'SEV is off': { ...SNP, enabled: false },
  'it is an older tier': { ...ES, 'sev-type': 'sev' },
  'the policy differs': { ...SNP, 'snp-policy': 0xb0000 },
  'QEMU answers nonsense': null,
}))
  test(`snp: refused when ${name}`, async () => {
    const { qmp } = recorded([['query-sev', {}, answer]])
    await assert.rejects(async () => DRIVERS.snp.launched?.(qmp, spec({ tee: 'snp' })), {
      code: 'tee.launch-refused',
    })
  })

const API = { major: 0, minor: 24, build: 15 }
const MEASUREMENT = Buffer.alloc(48, 7).toString('base64')
const SECRET: SevSecret = { header: 'aGVhZGVy', secret: 'c2VjcmV0', address: 0x80d000n }

test('sev-es: the owner sees the measurement and the secret goes in', async () => {
  const seen: SevLaunch[] = []
  const { qmp, left } = recorded([
    ['query-sev', {}, ES],
    ['query-sev-launch-measure', {}, { data: MEASUREMENT }],
    [
      'sev-inject-launch-secret',
      { 'packet-header': 'aGVhZGVy', secret: 'c2VjcmV0', gpa: 0x80d000 },
      {},
    ],
  ])
  const releaseSecret = (launch: SevLaunch) => {
    seen.push(launch)
    return Promise.resolve(SECRET)
  }
  const sevSession = { certificate: '', session: '', releaseSecret }
  await DRIVERS['sev-es'].launched?.(qmp, spec({ tee: 'sev-es', sevSession }))
  assert.deepEqual(seen, [{ measurement: MEASUREMENT, api: API }])
  assert.equal(left.length, 0)
})

test('sev: nothing goes in when the owner gives nothing, or refuses', async () => {
  const session = { certificate: '', session: '' }
  const none = recorded([['query-sev-launch-measure', {}, { data: MEASUREMENT }]])
  await exchangeSecret(
    none.qmp,
    { ...session, releaseSecret: () => Promise.resolve(undefined) },
    API,
  )
  const refusal = new Error('another digest')
  const refused = recorded([['query-sev-launch-measure', {}, { data: MEASUREMENT }]])
  const releaseSecret = () => Promise.reject(refusal)
  await assert.rejects(exchangeSecret(refused.qmp, { ...session, releaseSecret }, API), refusal)
  const short = recorded([['query-sev-launch-measure', {}, { data: 'AAAA' }]])
  await assert.rejects(exchangeSecret(short.qmp, { ...session, releaseSecret }, API), {
    code: 'tee.launch-refused',
  })
})

test('sev-es: a firmware that does not say its version is refused', async () => {
  const { 'build-id': _build, ...silent } = ES
  const { qmp } = recorded([['query-sev', {}, silent]])
  const session = { certificate: '', session: '', releaseSecret: async () => SECRET }
  await assert.rejects(
    async () => DRIVERS['sev-es'].launched?.(qmp, spec({ tee: 'sev-es', sevSession: session })),
    { code: 'tee.launch-refused' },
  )
})

test('requireSev() demands what it is told', async () => {
  const { qmp } = recorded([['query-sev', {}, ES]])
  await assert.rejects(requireSev(qmp, { policy: 7 }), { code: 'tee.launch-refused' })
})

const MRCONFIGID = Buffer.concat([Buffer.alloc(32, 0xab), Buffer.alloc(16)]).toString('base64')
const TDX_SPEC = spec({ tee: 'tdx', hostData: Buffer.alloc(32, 0xab) })
const ask = (property: string, answer: unknown): Turn => [
  'qom-get',
  { path: '/objects/tdx0', property },
  answer,
]

test('tdx: the launch is what was asked for', async () => {
  const { qmp, left } = recorded([ask('mrconfigid', MRCONFIGID), ask('sept-ve-disable', true)])
  await DRIVERS.tdx.launched?.(qmp, TDX_SPEC)
  assert.equal(left.length, 0)
})

for (const [name, turns] of Object.entries({
  'the initdata differs': [ask('mrconfigid', Buffer.alloc(48).toString('base64'))],
  'there is no such object': [ask('mrconfigid', null)],
  'exceptions are on': [ask('mrconfigid', MRCONFIGID), ask('sept-ve-disable', false)],
}))
  test(`tdx: refused when ${name}`, async () => {
    const { qmp } = recorded(turns)
    await assert.rejects(async () => DRIVERS.tdx.launched?.(qmp, TDX_SPEC), {
      code: 'tee.launch-refused',
    })
  })
