import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { jweUnwrapper, openJwe, sealJwe } from './jwe.ts'

const PLAIN = Buffer.from('{"symkey":"x"}')
const ours = generateKeyPairSync('rsa', { modulusLength: 2048 })
const other = generateKeyPairSync('rsa', { modulusLength: 2048 })

test('a JWE opens with its key only', async () => {
  const jwe = sealJwe(PLAIN, ours.publicKey)
  assert.deepEqual(openJwe(jwe, ours.privateKey), PLAIN)
  assert.equal(openJwe(jwe, other.privateKey), undefined)
  const unwrap = jweUnwrapper([other.privateKey, ours.privateKey])
  assert.deepEqual(await unwrap({ scheme: 'jwe', jwe }), PLAIN)
  assert.equal(await unwrap({ scheme: 'other', annotation: 'x' }), undefined)
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  assert.throws(() => sealJwe(PLAIN, ec.publicKey), { code: 'image.signing-key-malformed' })
})

test('a changed member of a JWE is refused', () => {
  const members = JSON.parse(sealJwe(PLAIN, ours.publicKey)) as Record<string, string>
  const general = { ...members, recipients: [{ encrypted_key: members['encrypted_key'] }] }
  assert.deepEqual(openJwe(JSON.stringify(general), ours.privateKey), PLAIN)
  for (const name of Object.keys(members)) {
    const changed = { ...members, [name]: `A${members[name]!.slice(1, -1)}A` }
    assert.equal(openJwe(JSON.stringify(changed), ours.privateKey), undefined, name)
    const { [name]: _, ...without } = members
    assert.equal(openJwe(JSON.stringify(without), ours.privateKey), undefined, name)
  }
  const short = {
    ...members,
    tag: Buffer.from(members['tag']!, 'base64url').subarray(0, 4).toString('base64url'),
  }
  assert.equal(openJwe(JSON.stringify(short), ours.privateKey), undefined)
  assert.equal(openJwe('not JSON', ours.privateKey), undefined)
})
