import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeLog, goodBoot } from '@cloister/verifier/testing/fake-tpm'
import { machineSubject } from '@cloister/verifier/tpm/certified-machine'
import {
  FAKE_TPM,
  FAKE_TPM_MACHINE,
  FAKE_TPM_REFERENCES,
  fakeTpmAnswer,
  issueByFakeBroker,
} from '../testing/fake-tpm-answer.ts'
import { computeTpmTrust } from './vm-evidence.ts'
import { tpmClaims } from '../vm/vm-claims.ts'

const NOW = new Date('2026-11-25T00:00:00Z')
const NONCE = new Uint8Array(32).fill(7)
const BOOT = fakeLog(goodBoot())

const answer = ({
  nonce = NONCE,
  ...more
}: { nonce?: Uint8Array; certificate?: Uint8Array | null } = {}) =>
  fakeTpmAnswer({ quotedLog: BOOT, givenLog: BOOT, nonce, ...more })

test('a TPM that everything vouches for is degraded, and its claims stand on the host', async () => {
  const verdict = await computeTpmTrust(await answer(), NONCE, FAKE_TPM_REFERENCES, NOW)
  assert.equal(verdict.trust, 'degraded')
  assert.deepEqual(verdict.machine, FAKE_TPM_MACHINE)
  const claims = tpmClaims(verdict.claims!, verdict.machine)
  assert.deepEqual(new Set(claims.map(({ behind }) => behind)), new Set(['host-vtpm']))
  assert.equal(claims.find(({ claim }) => claim === 'Secure Boot')?.value, 'on')
})

test('what does not hold is failed, and what nobody vouches for unattested', async () => {
  const failed = (code: string) => (verdict: Awaited<ReturnType<typeof computeTpmTrust>>) => {
    assert.equal(verdict.trust, 'failed')
    assert.ok(verdict.checks.some((check) => check.code === code && check.outcome === 'fail'))
    assert.equal(verdict.claims, undefined)
  }
  const nonce = new Uint8Array(32).fill(8)
  failed('tpm.nonce.mismatch')(
    await computeTpmTrust(await answer({ nonce }), NONCE, FAKE_TPM_REFERENCES, NOW),
  )
  const unpinned = { ...FAKE_TPM_REFERENCES, tpmAnchors: [] }
  failed('release.tpm.anchor')(await computeTpmTrust(await answer(), NONCE, unpinned, NOW))
  const malformed = { ...(await answer()), evidenceJson: '{' }
  failed('evidence.malformed')(await computeTpmTrust(malformed, NONCE, FAKE_TPM_REFERENCES, NOW))
  const bare = await computeTpmTrust(
    await answer({ certificate: null }),
    NONCE,
    FAKE_TPM_REFERENCES,
    NOW,
  )
  assert.equal(bare.trust, 'unattested')
  const foreign = await computeTpmTrust(
    await answer({ certificate: FAKE_TPM.certificate() }),
    NONCE,
    FAKE_TPM_REFERENCES,
    NOW,
  )
  assert.equal(foreign.trust, 'unattested')
  const ended = issueByFakeBroker(machineSubject(FAKE_TPM_MACHINE), FAKE_TPM.spki, false, 2026)
  const late = await computeTpmTrust(
    await answer({ certificate: ended }),
    NONCE,
    FAKE_TPM_REFERENCES,
    NOW,
  )
  assert.equal(late.trust, 'stale')
})
