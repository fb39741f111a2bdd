/** Golden values are those of virtee/sev's own tests (session of zeros), which AMD's firmware agrees with. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeSev } from '@cloister/verifier/testing/fake-sev'
import { verifySevChain } from '@cloister/verifier/sev/chain'
import { DISK_SECRET_GUID, encodeSecretTable, sealSecret } from './launch-secret.ts'
import { encodeSession, openLaunchSession } from './launch-session.ts'

const ZEROS = new Uint8Array(16)
const DIGEST = new Uint8Array(32).fill(7)
const AREA = 0xc00

test('encodeSession() wraps the keys as the firmware unwraps them', () => {
  const session = encodeSession({
    shared: ZEROS,
    keys: { tek: Buffer.alloc(16), tik: Buffer.alloc(16) },
    nonce: ZEROS,
    iv: ZEROS,
    policy: 0,
  })
  assert.equal(session.length, 128)
  const part = (from: number, to: number) => session.subarray(from, to).toString('hex')
  assert.equal(part(16, 48), '2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4')
  assert.equal(part(64, 96), '3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d')
  assert.equal(part(96, 128), 'aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af')
})

test('a secret goes through a session into the launch that was measured, and no other', async () => {
  const platform = new FakeSev()
  const { pdh } = await verifySevChain(platform.chain, platform.roots)
  const { keys, ...owner } = openLaunchSession(pdh, 0xb)
  const launch = platform.launch(owner, 0xb, DIGEST)
  const measure = Buffer.from(launch.measurement, 'base64').subarray(0, 32)
  const table = encodeSecretTable([{ guid: DISK_SECRET_GUID, value: Buffer.from('open') }], AREA)
  const packet = sealSecret(table, keys, measure)
  assert.ok(!Buffer.from(packet.secret, 'base64').includes('open'))
  assert.deepEqual(launch.open(packet.header, packet.secret), table)
  const other = platform.launch(owner, 0xb, new Uint8Array(32))
  assert.equal(other.open(packet.header, packet.secret), undefined)
  // The host changed the policy.
  assert.throws(() => platform.launch(owner, 0xa, DIGEST))
})

test('encodeSecretTable() is what the kernel of the guest reads', () => {
  const table = encodeSecretTable(
    [
      { guid: DISK_SECRET_GUID, value: Buffer.from('pass') },
      { guid: '00000000-0000-0000-0000-000000000001', value: Buffer.alloc(0) },
    ],
    AREA,
  )
  assert.equal(
    table.toString('hex'),
    [
      '42f5741edd71664d963eef4287ff173b',
      '40000000',
      'e5696873f084734992ec06879ce3da0b',
      '18000000',
      '70617373',
      '00000000000000000000000000000001',
      '14000000',
    ].join(''),
  )
  assert.equal(
    encodeSecretTable([{ guid: DISK_SECRET_GUID, value: Buffer.alloc(1) }], AREA).length,
    48,
  )
  assert.throws(
    () => encodeSecretTable([{ guid: DISK_SECRET_GUID, value: Buffer.alloc(AREA) }], AREA),
    { code: 'cli.usage' },
  )
})
