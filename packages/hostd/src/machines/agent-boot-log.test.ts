import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { agentBootLog } from './agent-boot-log.ts'

const SIGNAL = AbortSignal.timeout(5_000)

const guest = (evidenceJson: string) => ({
  evidence: async (nonce: Uint8Array): Promise<EvidenceAnswer> => {
    assert.equal(nonce.length, 32)
    return { tee: 'tpm', evidenceJson, agentKey: '', channelKey: '', initdata: '' }
  },
})

test("agentBootLog() takes the log out of a TPM's evidence", async () => {
  assert.equal(await agentBootLog(guest('{"event_log":"bG9n"}'), SIGNAL), 'bG9n')
})

test('agentBootLog() takes nothing from an answer without one, of another form, or none', async () => {
  const none = ['{}', '[]', 'no JSON', '{"event_log":7}', '{"event_log":"*"}', '{"event_log":""}']
  for (const json of none) assert.equal(await agentBootLog(guest(json), SIGNAL), undefined)
  const long = `{"event_log":"${'A'.repeat(2 << 20)}"}`
  assert.equal(await agentBootLog(guest(long), SIGNAL), undefined)
  const refusing = {
    evidence: () => Promise.reject(new CloisterError('guest.no-answer')),
  }
  assert.equal(await agentBootLog(refusing, SIGNAL), undefined)
})
