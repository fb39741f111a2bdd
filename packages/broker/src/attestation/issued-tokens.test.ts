import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { loadIdentity } from '../identity.ts'
import { hardwareWorld } from '../testing/world.ts'
import { readAttestationResult, type AttestationFindings } from './attestation-result.ts'
import type { EarClaims } from './ear.ts'
import { IssuedTokens } from './issued-tokens.ts'
import { tokenClaims, TokenSigner } from './token-signer.ts'

/** Claims as the broker wrote them, and what they say. */
async function attested() {
  await using world = await hardwareWorld()
  const { text } = await world.t.client.attest(world.guest())
  const { token } = JSON.parse(text) as { token: string }
  const claims = tokenClaims(token) as EarClaims
  const result = readAttestationResult(token, claims)
  assert.ok(result !== undefined)
  const { expiresAt: _, token: __, ...findings } = result
  return { claims, findings: findings as AttestationFindings }
}

function signer(t: TestContext): TokenSigner {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-token-test-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  return new TokenSigner(loadIdentity(directory, { name: 'token', commonName: 't', now: 0 }))
}

test('IssuedTokens reads what it issued, also after a restart, until it expires', async (t) => {
  const { claims, findings } = await attested()
  const key = signer(t)
  const issuing = new IssuedTokens(key)
  const token = issuing.issue(claims, findings)
  const restarted = new IssuedTokens(key)
  const end = claims.exp * 1000
  const result = issuing.read(token, end - 1)
  assert.equal(result?.anchors, 'amd')
  for (const tokens of [restarted, restarted]) {
    assert.deepEqual(tokens.read(token, end - 1), result)
    assert.equal(tokens.read(token, end), undefined)
  }
})

test('IssuedTokens refuses every change to a token, remembered or not', async (t) => {
  const tokens = new IssuedTokens(signer(t))
  const { claims, findings } = await attested()
  const token = tokens.issue(claims, findings)
  const now = claims.exp * 1000 - 1
  for (let index = 0; index < token.length; index += 97) {
    const other = token[index] === 'A' ? 'B' : 'A'
    assert.equal(
      tokens.read(token.slice(0, index) + other + token.slice(index + 1), now),
      undefined,
    )
  }
  for (const changed of ['', '..', `${token}A`, token.slice(0, -1), `${token}.x`, 'x'.repeat(1e6)])
    assert.equal(tokens.read(changed, now), undefined)
  assert.equal(new IssuedTokens(signer(t)).read(token, now), undefined)
})
