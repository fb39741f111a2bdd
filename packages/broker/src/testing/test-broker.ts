/** Tests only: a broker in a directory of its own, with its owner's key and a client for its owner's side. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import {
  AuditListSchema,
  type AuditEntry,
  type AnchorSet,
  type ReleasePolicyInput,
} from '@cloister/protocol/broker-admin-api'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import type { Appraisers } from '../attestation/appraise-evidence.ts'
import { startBroker, startBrokerUnder, type Broker, type BrokerOptions } from '../start-broker.ts'
import { FAKE_MEASUREMENT } from './fake-guest.ts'
import { exchange, type Answer } from './https-exchange.ts'
import { RcarClient } from './rcar-client.ts'

export interface TestBrokerOptions extends Partial<BrokerOptions> {
  /** A fake AMD or Intel in their places; absent: AMD and Intel. */
  readonly appraisers?: Partial<Appraisers>
}

export interface TestBroker extends AsyncDisposable {
  readonly broker: Broker
  readonly directory: string
  readonly agent: Agent
  readonly client: RcarClient
  readonly adminKey: KeyObject
  /** A call of the owner's, with a fresh token unless `authorization` is given. */
  admin(method: string, path: string, body?: unknown, authorization?: string): Promise<Answer>
  /** {@link admin}, which must succeed. */
  owner(method: string, path: string, body?: unknown): Promise<unknown>
  audit(requestId: string | undefined): Promise<AuditEntry>
}

export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const { appraisers, ...given } = options
  const directory = given.directory ?? mkdtempSync(join(tmpdir(), 'cloister-broker-test-'))
  const adminKey = generateKeyPairSync('ed25519').privateKey
  const adminPem = createPublicKey(adminKey).export({ type: 'spki', format: 'pem' }) as string
  const complete: BrokerOptions = {
    listen: { host: '127.0.0.1', port: 0 },
    adminKeys: [adminPem],
    ...given,
    directory,
  }
  const removeOwn = () => {
    if (given.directory === undefined) rmSync(directory, { recursive: true })
  }
  const start = (): Promise<Broker> =>
    appraisers === undefined ? startBroker(complete) : startBrokerUnder(appraisers, complete)
  const broker = await start().catch((error: unknown) => {
    removeOwn()
    throw error
  })
  const agent = new Agent({ keepAlive: true, ca: readFileSync(join(directory, 'tls.crt')) })
  const now = given.now ?? Date.now
  const admin: TestBroker['admin'] = async (method, path, body, authorization) => {
    const token = authorization ?? `Bearer ${await adminToken(adminKey, broker.url, now())}`
    return exchange(`${broker.url}/cloister/v1${path}`, agent, {
      method,
      headers: { authorization: token, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  }
  const owner: TestBroker['owner'] = async (method, path, body) => {
    const { status, text } = await admin(method, path, body)
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`)
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  }
  return {
    broker,
    directory,
    agent,
    client: new RcarClient(broker.url, agent),
    adminKey,
    admin,
    owner,
    audit: async (requestId) => {
      const list = AuditListSchema.parse(await owner('GET', `/audit?requestId=${requestId}`))
      const [entry] = list.entries.map(readAuditLeaf)
      if (entry === undefined) throw new Error(`no audit entry for ${requestId}`)
      return entry
    },
    [Symbol.asyncDispose]: async () => {
      agent.destroy()
      await broker.stop()
      removeOwn()
    },
  }
}

export interface AdminTokenClaims {
  readonly role?: string
  readonly audience?: string
  readonly seconds?: number
}

export async function adminToken(
  key: KeyObject,
  url: string,
  now: number,
  { role = 'admin', audience = url, seconds = 60 }: AdminTokenClaims = {},
): Promise<string> {
  const issuedAt = Math.floor(now / 1000)
  return new SignJWT({ role })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + seconds)
    .setAudience(audience)
    .sign(key)
}

/** A manifest with one launch digest for each mode. */
export function fakeManifest(
  overrides: Partial<GuestImageManifest> & { readonly digest?: string } = {},
): GuestImageManifest {
  const { digest = FAKE_MEASUREMENT, ...rest } = overrides
  const file = { file: 'x', sha256: '22'.repeat(32), size: 1 }
  const digests = (value: string) => ({ 'EPYC-v4': { '1': value } })
  return {
    version: 1,
    name: 'base',
    imageVersion: 1,
    epoch: 1,
    architecture: 'x86_64',
    kernel: { ...file, release: '6.12' },
    initrd: file,
    root: {
      ...file,
      verity: { rootHash: '33'.repeat(32), salt: '', dataBlocks: 1, hashOffset: 4096 },
    },
    firmware: {},
    commandLines: { hardware: '', simulated: '', probe: '', debug: '' },
    expected: {
      snp: { hardware: digests(digest), simulated: digests(digest), debug: digests(digest) },
    },
    inputs: [],
    ...rest,
  }
}

/** A policy that the fake guests fulfil. */
export function fakePolicy(overrides: Partial<ReleasePolicyInput> = {}): ReleasePolicyInput {
  const floor = { bootloader: 10, tee: 1, snp: 25, microcode: 72 }
  return {
    version: 1,
    anchors: ['amd'],
    workloads: [{ name: 'demo' }],
    guestImages: [{ name: 'base', minimumVersion: 1 }],
    minimumTcb: { Genoa: floor, Milan: floor, Turin: floor },
    ...overrides,
  }
}

export const SECRET_PATH = 'default/demo/secret'

/** Registers the fake guest's image and workload, and a secret for it. */
export async function registerDemo(
  { owner }: Pick<TestBroker, 'owner'>,
  demo: {
    readonly initdata: Uint8Array
    readonly anchors?: AnchorSet
    readonly mode?: AttesterMode
    readonly policy?: ReleasePolicyInput
    readonly value: Uint8Array
  },
): Promise<void> {
  const { anchors = 'amd', mode = 'hardware', policy = fakePolicy({ anchors: [anchors] }) } = demo
  await owner('PUT', '/guest-images/base', { manifest: fakeManifest(), mode, anchors })
  await owner('PUT', '/workloads/demo', { initdata: Buffer.from(demo.initdata).toString('base64') })
  await owner('PUT', `/secrets/${SECRET_PATH}`, {
    value: Buffer.from(demo.value).toString('base64'),
    allowSimulated: anchors === 'simulated',
    release: policy,
  })
}
