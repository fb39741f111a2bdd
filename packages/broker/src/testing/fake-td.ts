/** Tests only: a TD on a fake Intel, whose every register a test can choose, and a broker that takes that Intel for Intel. */
import { randomBytes, type KeyObject } from 'node:crypto'
import { initdataDigest } from '@cloister/protocol/initdata'
import type { ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import type { TdxRegisters } from '@cloister/protocol/guest-image-manifest'
import type { TeePublicKey } from '@cloister/protocol/kbs'
import type { DcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import type { TdReport } from '@cloister/verifier/dcap/td-report'
import { encodeBundle, makeBundle } from '@cloister/verifier/endorsements/bundle'
import { endorsementItems } from '@cloister/verifier/endorsements/bundle-item'
import {
  FAKE_PCK,
  FAKE_TD,
  FakeIntel,
  type FakeQuoteOptions,
} from '@cloister/verifier/testing/fake-intel'
import { fakeInitdata, newKeyPair } from './fake-guest.ts'
import type { RcarGuest } from './rcar-client.ts'
import { fakeManifest, SECRET_PATH, startTestBroker, type TestBroker } from './test-broker.ts'

const HOUR_MS = 3_600_000

/** What the registered guest image makes of a TD's registers. */
export const FAKE_REGISTERS: TdxRegisters = {
  mrTd: '02'.repeat(48),
  rtmr1: '31'.repeat(48),
  rtmr2: '32'.repeat(48),
}
/** Of the fake machine. */
export const FAKE_RTMR0 = '30'.repeat(48)

export interface FakeTdOptions {
  readonly intel: FakeIntel
  readonly initdata: Uint8Array
  /** Fields of the TD report to replace, before the quote is signed. */
  readonly report?: Partial<TdReport>
  readonly quote?: FakeQuoteOptions
  /** Base64 of a CCEL. Absent: it shows none. */
  readonly eventLog?: string
}

export class FakeTd implements RcarGuest {
  readonly tee = 'tdx'
  readonly #options: FakeTdOptions
  readonly privateKey: KeyObject
  readonly publicKey: TeePublicKey

  constructor(options: FakeTdOptions) {
    this.#options = options
    const { privateKey, publicKey } = newKeyPair('P-256')
    this.privateKey = privateKey
    this.publicKey = publicKey
  }

  get initdata(): string {
    return Buffer.from(this.#options.initdata).toString()
  }

  /** Evidence in its KBS form over these report data. */
  evidence(reportData: Uint8Array): unknown {
    const { intel, initdata, report, quote, eventLog = null } = this.#options
    const mrConfigId = Buffer.alloc(48)
    mrConfigId.set(initdataDigest(initdata))
    const td: TdReport = {
      ...FAKE_TD,
      mrTd: Buffer.from(FAKE_REGISTERS.mrTd, 'hex'),
      rtmr0: Buffer.from(FAKE_RTMR0, 'hex'),
      rtmr1: Buffer.from(FAKE_REGISTERS.rtmr1, 'hex'),
      rtmr2: Buffer.from(FAKE_REGISTERS.rtmr2, 'hex'),
      mrConfigId,
      reportData,
      ...report,
    }
    const bytes = intel.quote({ kind: 'tdx', report: td }, quote)
    return { cc_eventlog: eventLog, quote: Buffer.from(bytes).toString('base64') }
  }
}

export interface TdxWorld extends AsyncDisposable {
  readonly t: TestBroker
  readonly intel: FakeIntel
  readonly initdata: Uint8Array
  readonly secret: Buffer
  guest(options?: Partial<FakeTdOptions>): FakeTd
}

export interface TdxWorldOptions {
  readonly policy?: Partial<ReleasePolicyInput>
  /** Replaces parts of the collateral; null: the broker has none. */
  readonly collateral?: ((intel: FakeIntel) => Partial<DcapEndorsements>) | null
  readonly path?: string
}

/** A registered workload in a registered guest image, with a secret for it, on a fake platform that is up to date. */
export async function tdxWorld(options: TdxWorldOptions = {}): Promise<TdxWorld> {
  const { policy = {}, collateral = () => ({}), path = SECRET_PATH } = options
  const intel = new FakeIntel()
  const t = await startTestBroker({ appraisers: { tdx: intel.appraiseTdx.bind(intel) } })
  const secret = randomBytes(32)
  const initdata = fakeInitdata()
  if (collateral !== null) await giveCollateral(t, intel, collateral(intel))
  const { expected, ...manifest } = fakeManifest()
  await t.owner('PUT', '/guest-images/base', {
    manifest: { ...manifest, expected: { ...expected, tdx: { hardware: FAKE_REGISTERS } } },
    mode: 'hardware',
    anchors: 'intel',
  })
  await t.owner('PUT', '/workloads/demo', { initdata: Buffer.from(initdata).toString('base64') })
  await t.owner('PUT', `/secrets/${path}`, {
    value: secret.toString('base64'),
    release: tdxPolicy(policy),
  })
  return {
    t,
    intel,
    initdata,
    secret,
    guest: (guest = {}) => new FakeTd({ intel, initdata, ...guest }),
    [Symbol.asyncDispose]: () => t[Symbol.asyncDispose](),
  }
}

/** A policy that the fake TDs fulfil. */
export function tdxPolicy(overrides: Partial<ReleasePolicyInput> = {}): ReleasePolicyInput {
  return {
    version: 1,
    anchors: ['intel'],
    workloads: [{ name: 'demo' }],
    guestImages: [{ name: 'base', minimumVersion: 1 }],
    minimumTcb: {},
    tdx: { rtmr0: [FAKE_RTMR0] },
    ...overrides,
  }
}

/** Gives the broker the fake Intel's collateral, in date, with these parts replaced. */
export async function giveCollateral(
  t: Pick<TestBroker, 'owner'>,
  intel: FakeIntel,
  replaced: Partial<DcapEndorsements> = {},
): Promise<void> {
  const now = Date.now()
  const current = intel.endorsements('tdx', new Date(now - HOUR_MS), new Date(now + HOUR_MS))
  const bundle = makeBundle({
    tee: 'tdx',
    subject: { fmspc: FAKE_PCK.fmspc, pceId: '0000', ca: 'platform' },
    fetchedAt: new Date(now),
    items: endorsementItems({ ...current, ...replaced }),
  })
  await t.owner('PUT', '/intel-collateral', {
    bundle: Buffer.from(encodeBundle(bundle)).toString('base64'),
  })
}
