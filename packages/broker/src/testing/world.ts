/** Tests only: a fake AMD, a broker that takes it for AMD, and a registered demo workload with a secret. */
import { randomBytes } from 'node:crypto'
import { FakeAmd, type FakeAmdOptions } from '@cloister/verifier/testing/fake-amd'
import type { ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { FakeGuest, fakeInitdata, type FakeGuestOptions } from './fake-guest.ts'
import type { RcarGuest } from './rcar-client.ts'
import { registerDemo, SECRET_PATH, startTestBroker, type TestBroker } from './test-broker.ts'

const HOUR_MS = 3_600_000

export interface WorldOptions extends FakeAmdOptions {
  readonly policy?: ReleasePolicyInput
  readonly now?: () => number
  readonly onBug?: (error: unknown) => void
  /** Waited for before each appraisal, under the fake AMD's hardware root. */
  readonly gate?: () => Promise<void>
}

export interface World extends AsyncDisposable {
  readonly t: TestBroker
  readonly amd: FakeAmd
  /** The registered initdata. */
  readonly initdata: Uint8Array
  /** The secret at {@link SECRET_PATH}: random, so that a search for it finds nothing else. */
  readonly secret: Buffer
  /** In date, revokes nothing. */
  readonly revocationList: Uint8Array
  guest(options?: Partial<FakeGuestOptions>): FakeGuest
}

/** A world in which the fake AMD's root is the hardware's. */
export async function hardwareWorld(options: WorldOptions = {}): Promise<World> {
  const amd = new FakeAmd(options)
  const t = await startTestBroker({
    appraisers: {
      snp: async (...call) => {
        await options.gate?.()
        return await amd.appraise(...call)
      },
    },
    ...(options.now !== undefined && { now: options.now }),
    ...(options.onBug !== undefined && { onBug: options.onBug }),
  })
  return world(t, amd, options, 'hardware')
}

/** A world with a pinned simulated processor, and AMD's own roots beside it. */
export async function simulatedWorld(options: WorldOptions = {}): Promise<World> {
  const amd = new FakeAmd({ names: 'simulated' })
  const t = await startTestBroker({ simulatedRoots: [amd.fingerprint] })
  return world(t, amd, options, 'simulated')
}

async function world(
  t: TestBroker,
  amd: FakeAmd,
  { policy, now = Date.now }: WorldOptions,
  mode: 'hardware' | 'simulated',
): Promise<World> {
  const secret = randomBytes(32)
  const initdata = fakeInitdata()
  await registerDemo(t, {
    initdata,
    value: secret,
    anchors: mode === 'hardware' ? 'amd' : 'simulated',
    mode,
    ...(policy !== undefined && { policy }),
  })
  const revocationList = amd.revocationList(new Date(now() - HOUR_MS), new Date(now() + HOUR_MS))
  const revocationLists = mode === 'hardware' ? [revocationList] : []
  return {
    t,
    amd,
    initdata,
    secret,
    revocationList,
    guest: (guest = {}) => new FakeGuest({ amd, initdata, revocationLists, ...guest }),
    [Symbol.asyncDispose]: () => t[Symbol.asyncDispose](),
  }
}

/** Code of the first failed check in the audit, and what the guest was told. */
export interface RefusedWith {
  readonly step: 'attestation' | 'release'
  readonly code: string | undefined
}

/** Lets a guest go the whole way and expects a refusal that tells the guest nothing but that it was refused. */
export async function refusalOf({ t }: Pick<World, 't'>, guest: RcarGuest): Promise<RefusedWith> {
  const answer = await t.client.resource(guest, SECRET_PATH)
  if (Buffer.isBuffer(answer)) throw new Error('the secret was released')
  const { kind, code } = await t.audit(answer.requestId)
  if (
    kind === 'admin' ||
    kind === 'enrolment' ||
    kind === 'guest' ||
    answer.status !== 401 ||
    answer.code !== `${kind}.refused`
  )
    throw new Error(`the guest was told ${answer.status} ${answer.code}`)
  return { step: kind, code }
}

/** Registers another revision or workload; returns its initdata. */
export async function registerWorkload(
  { t }: World,
  overrides: Partial<WorkloadInput>,
): Promise<Uint8Array> {
  const initdata = fakeInitdata(overrides)
  await t.owner('PUT', `/workloads/${overrides.name ?? 'demo'}`, {
    initdata: Buffer.from(initdata).toString('base64'),
  })
  return initdata
}
