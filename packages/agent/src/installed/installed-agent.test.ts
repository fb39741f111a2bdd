import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import { Guest } from '@cloister/protocol/guest_pb'
import { openPortSession } from '@cloister/protocol/port-session'
import { verifyReportData } from '@cloister/protocol/report-data'
import { isCode, streamPair } from '@cloister/protocol/testing'
import { TtrpcClient } from '@cloister/protocol/ttrpc/client'
import { STATUS, TtrpcError } from '@cloister/protocol/ttrpc/status'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import type { Attester } from '../attesters/attester.ts'
import type { Configuration } from './configuration.ts'
import { findAttester } from './find-attester.ts'
import { InstalledAgent } from './installed-agent.ts'

const NOTHING: Configuration = { version: 1, resources: [], ports: [] }
const SIGNAL = AbortSignal.timeout(20_000)

async function served(attester: Attester) {
  const [guest, host] = streamPair()
  const agent = new InstalledAgent({
    configuration: NOTHING,
    found: { attester },
    connect: () => Promise.reject(new Error('no broker is configured')),
    log: () => undefined,
  })
  agent.serveHost(guest)
  const client = new TtrpcClient(await openPortSession(host, TTRPC_FRAMING, { signal: SIGNAL }))
  return { agent, client }
}

test('it answers evidence over the nonce and its keys, and status; nothing of containers', async () => {
  const asked: Uint8Array[] = []
  const { agent, client } = await served({
    tee: 'tpm',
    attest: async (reportData) => {
      asked.push(reportData)
      return { json: '{}' }
    },
  })
  await using _ = agent
  await agent.attest()
  const nonce = new Uint8Array(32).fill(3)
  const call = { signal: SIGNAL }
  const answer = await client.call(Guest.method.getEvidence, { nonce }, call)
  assert.equal(answer.tee, 'tpm')
  assert.equal(answer.initdata.length, 0)
  assert.deepEqual(
    Buffer.from(asked[0] ?? []),
    Buffer.from(verifyReportData(nonce, answer.agentKey, answer.channelKey)),
  )
  const status = await client.call(Guest.method.getStatus, {}, call)
  assert.deepEqual([status.stage, status.token, status.errorCode], ['agent', '', ''])
  await assert.rejects(
    client.call(AgentService.method.createSandbox, {}, call),
    (error) => error instanceof TtrpcError && error.status === STATUS.unimplemented,
  )
})

test('without anything to prove itself with it says so, and goes on', async () => {
  const { agent, client } = await served({
    tee: 'tpm',
    attest: () => Promise.reject(new CloisterError('agent.tpm-absent')),
  })
  await using _ = agent
  const request = { nonce: new Uint8Array(32) }
  const ask = () => client.call(Guest.method.getEvidence, request, { signal: SIGNAL })
  const isTold = (error: unknown) =>
    error instanceof TtrpcError && error.code === 'agent.tpm-absent'
  await assert.rejects(ask(), isTold)
  await assert.rejects(ask(), isTold)
})

test('findAttester() asks the device of a TEE whose kernel has no configfs-tsm, and never the TPM then', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-tsm-'))
  t.after(() => rm(folder, { recursive: true }))
  const [snp, tdx] = [join(folder, 'sev-guest'), join(folder, 'tdx_guest')]
  const search = {
    tsmDirectory: join(folder, 'absent'),
    tpmDevice: join(folder, 'tpm'),
    teeDevices: { snp, tdx },
  }
  await assert.rejects(findAttester(search), isCode('agent.tpm-absent'))
  for (const [tee, device] of [
    ['tdx', tdx],
    ['snp', snp],
  ] as const) {
    await writeFile(device, '')
    const { attester, tpm } = await findAttester(search)
    assert.deepEqual([attester.tee, tpm], [tee, undefined])
    // No driver stands behind the file.
    await assert.rejects(attester.attest(new Uint8Array(64)), isCode('agent.report-failed'))
  }
})
