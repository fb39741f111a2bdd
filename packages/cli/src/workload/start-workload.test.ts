/** What of a run is told to the broker when, and what a refusal leaves. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { startRun, type PreparedRun, type RunContext } from './start-workload.ts'

/** A run, under SNP unless told otherwise, whose broker refuses the guest image, or stores the workload; `calls` is what it was asked. */
async function startedAgainst(
  refusals: Partial<Record<'pin' | 'guestImage' | 'workload', CloisterError>> = {},
  context: Partial<RunContext> = {},
) {
  const calls: string[] = []
  const call = async (name: string, error?: CloisterError) => {
    await Promise.resolve()
    calls.push(name)
    if (error !== undefined) throw error
    return []
  }
  const whole = {
    broker: {
      pinned: { url: 'https://127.0.0.1:1', spki: ['00'.repeat(32)], tokenSigner: '' },
      workloads: () => call('workloads'),
      pinSimulatedRoot: () => call('pin', refusals.pin),
      putGuestImage: () => call('guest image', refusals.guestImage),
      putWorkload: () => call('workload', refusals.workload),
    },
    hostd: { start: () => call('start') },
    guestImage: { manifest: { name: 'base' } },
    tee: 'snp',
    signal: new AbortController().signal,
    ...context,
  } as unknown as RunContext
  const prepared = {
    plan: { env: [], secrets: [], resources: [], ports: [], args: [], cpus: 1, debug: false },
    name: 'app',
    grants: [],
    opened: {
      reference: { registry: 'localhost', repository: 'app', tag: 'latest' },
      plainHttp: true,
      target: { layout: '/layout' },
    },
    resolved: { digest: `sha256:${'ab'.repeat(32)}`, manifest: { layers: [] } },
  } as unknown as PreparedRun
  const outcome = await startRun(prepared, whole).then(
    () => 'started',
    (error: unknown) => (error as CloisterError).code,
  )
  return { calls, outcome }
}

test('startRun: the workload is registered after all else, and its guest is started after that', async () => {
  const { calls, outcome } = await startedAgainst()
  assert.equal(outcome, 'started')
  assert.deepEqual(calls.slice(0, 2).toSorted(), ['guest image', 'workloads'])
  assert.deepEqual(calls.slice(2), ['workload', 'start'])
})

test('startRun: a guest image that the broker refuses leaves no workload and no guest', async () => {
  const { calls, outcome } = await startedAgainst({
    guestImage: new CloisterError('owner.broker-silent'),
  })
  assert.equal(outcome, 'owner.broker-silent')
  assert.deepEqual(calls.toSorted(), ['guest image', 'workloads'])
})

test('startRun: a broker that trusts no simulated processor is told of no simulated guest image', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'cloister-start-'))
  t.after(() => rm(home, { recursive: true }))
  const { calls, outcome } = await startedAgainst(
    { pin: new CloisterError('broker.simulated.secrets') },
    {
      tee: 'simulated',
      directories: directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: home }),
    },
  )
  assert.equal(outcome, 'broker.simulated.secrets')
  assert.deepEqual(calls.toSorted(), ['pin', 'workloads'])
})

test('startRun: a workload that the broker refuses gets no guest', async () => {
  const refusal = new CloisterError('owner.broker-unreachable')
  const { calls, outcome } = await startedAgainst({ workload: refusal })
  assert.equal(outcome, 'owner.broker-unreachable')
  assert.ok(!calls.includes('start'))
})
