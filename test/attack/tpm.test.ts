/** Attacks on the attestation of VMs by their TPM: a real TPM (swtpm), the agent's own code, a real broker. */
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { vtpmAttester, type VtpmAttester } from '@cloister/agent/attesters/vtpm'
import { httpExchange } from '@cloister/agent/broker/http-exchange'
import { KbsClient } from '@cloister/agent/broker/kbs-client'
import { connectPinned } from '@cloister/agent/broker/pinned-tls'
import { tpmEnrolment } from '@cloister/agent/broker/tpm-enrolment'
import { InstalledAgent } from '@cloister/agent/installed/installed-agent'
import { makeGuestKey, teePublicKey, type GuestKey } from '@cloister/agent/keys'
import { startSwtpm, type Swtpm } from '@cloister/agent/testing/swtpm'
import type { TpmDevice } from '@cloister/agent/tpm/device'
import {
  TPM_KEY_KINDS,
  attestationKeyTemplate,
  endorsementKeyTemplate,
} from '@cloister/agent/tpm/templates'
import { Tpm } from '@cloister/agent/tpm/tpm'
import { makeCredential } from '@cloister/verifier/node/make-credential'
import { parseTpmPublicArea } from '@cloister/verifier/tpm/public-area'
import { refusal } from '@cloister/broker/testing/rcar-client'
import { fakePolicy, startTestBroker, type TestBroker } from '@cloister/broker/testing/test-broker'
import type { AnyReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import { primaryReportData } from '@cloister/protocol/report-data'
import { isCode } from '@cloister/protocol/testing'
import { TPM_ENROLMENT_PATH } from '@cloister/protocol/tpm-enrolment'
import { parsePem } from '@cloister/verifier/formats/pem'
import { replayLog } from '@cloister/verifier/eventlog/replay'
import { FakeTpm, fakeLog, goodBoot } from '@cloister/verifier/testing/fake-tpm'
import { assertBrokerSilent, recordAnswers } from './support/silent-world.ts'

const SECRET = 'default/demo/secret'
const VALUE = randomBytes(24)
const run = promisify(execFile)

let site: Swtpm
let device: TpmDevice
let attester: VtpmAttester
let logFile: string
let machine: string

before(async () => {
  site = await startSwtpm({ banks: 'sha256' })
  logFile = join(site.directory, 'event.log')
  await bootInto(site, logFile)
  device = await site.open()
  attester = await vtpmAttester({ device, eventLogFile: logFile })
  const { endorsementCertificate } = await attester.identity()
  machine = createHash('sha256').update(endorsementCertificate!).digest('hex')
})
after(async () => {
  await device[Symbol.asyncDispose]()
  await site[Symbol.asyncDispose]()
})

/** Extends what a boot with Secure Boot measures, and keeps the log of it as a kernel would. */
async function bootInto(tpm: Swtpm, file: string): Promise<void> {
  const events = goodBoot()
  const extensions = events.flatMap(({ index, type, digests }) =>
    type === 3
      ? []
      : digests
          .filter(({ hash }) => hash === 'sha256')
          .map(({ digest }) => `${index}:sha256=${Buffer.from(digest).toString('hex')}`),
  )
  for (const extension of extensions)
    await run('tpm2_pcrextend', [extension], { env: { ...process.env, TPM2TOOLS_TCTI: tpm.tcti } })
  await writeFile(file, fakeLog(events))
}

interface Field extends AsyncDisposable {
  readonly t: TestBroker
  /** The agent's own way from enrolment to secret. */
  client(key?: GuestKey, own?: VtpmAttester): KbsClient
}

/** A broker that trusts the CA of {@link site}, with a secret for its machine. */
async function openField(policy: Partial<AnyReleasePolicyInput> = {}): Promise<Field> {
  const t = await startTestBroker()
  const answers = recordAnswers(t)
  await pinAnchor(t, site)
  await t.owner('PUT', `/secrets/${SECRET}`, {
    value: VALUE.toString('base64'),
    release: { version: 1, kind: 'tpm', endorsementKeys: [machine], ...policy },
  })
  const { address, url, spki } = t.broker
  const signal = AbortSignal.timeout(30_000)
  const exchange = httpExchange(async () =>
    connectPinned(connect(address.port, address.host), {
      spki: [spki],
      serverName: 'localhost',
      signal,
    }),
  )
  return {
    t,
    client: (key = makeGuestKey(), own = attester) =>
      new KbsClient({
        url,
        exchange,
        attester: own,
        key,
        now: Date.now,
        ...tpmEnrolment(own, Date.now),
      }),
    [Symbol.asyncDispose]: async () => {
      try {
        await assertBrokerSilent(t, answers, [VALUE])
      } finally {
        await t[Symbol.asyncDispose]()
      }
    },
  }
}

async function pinAnchor(t: TestBroker, { issuers }: Swtpm): Promise<string> {
  const [issuer, root] = issuers.map((pem) => Buffer.from(parsePem(pem)[0]!.der).toString('base64'))
  await t.owner('PUT', '/anchors/tpm', { certificate: root, intermediates: [issuer] })
  return createHash('sha256').update(Buffer.from(root!, 'base64')).digest('hex')
}

const SIGNAL = AbortSignal.timeout(120_000)

/** An Attestation message whose parts a test may change. @returns the code in the audit, or `accepted` */
async function attestWith(
  { t }: Field,
  change: {
    readonly nonceOf?: Uint8Array
    readonly json?: (json: Record<string, unknown>) => Record<string, unknown>
    readonly initdata?: string
  },
): Promise<string | undefined> {
  const challenge = await t.client.auth('tpm')
  const key = makeGuestKey()
  const { nonce } = challenge
  const reportData = primaryReportData({ nonce, teePublicKey: teePublicKey(key) }, '')
  const { json } = await attester.attest(change.nonceOf ?? reportData)
  const evidence = JSON.parse(json) as Record<string, unknown>
  const answer = await t.client.send(challenge, {
    'init-data': change.initdata === undefined ? null : { format: 'toml', body: change.initdata },
    'runtime-data': { nonce, 'tee-pubkey': teePublicKey(key) },
    'tee-evidence': {
      primary_evidence: change.json?.(evidence) ?? evidence,
      additional_evidence: '',
    },
  })
  if (answer.status === 200) return 'accepted'
  const { code, requestId } = refusal(answer)
  assert.equal(code, 'attestation.refused')
  return (await t.audit(requestId)).code
}

test('a machine whose TPM the site vouches for gets its secret, and never more than a warning', async () => {
  await using field = await openField({ pcrs: { pcr7: [await quoted(7)] } })
  const client = field.client()
  assert.deepEqual(await client.getResource(SECRET, SIGNAL), VALUE)
  const { token } = await client.attest(SIGNAL)
  const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as {
    readonly submods: { readonly cpu0: Record<string, unknown> }
  }
  const { cpu0 } = claims.submods
  assert.equal(cpu0['ear.status'], 'warning')
  assert.equal(cpu0['cloister.appraisal'], 'warning')
  assert.equal((cpu0['ear.trustworthiness-vector'] as { hardware: number }).hardware, 32)
  const evidence = cpu0['ear.veraison.annotated-evidence'] as {
    readonly tpm: Record<string, unknown>
  }
  assert.deepEqual(
    [evidence.tpm['level'], evidence.tpm['endorsement_key'], evidence.tpm['secure_boot']],
    ['host-vtpm', machine, true],
  )
})

async function quoted(index: number): Promise<string> {
  const replayed = await replayLog({ events: goodBoot() }, 'sha256')
  return Buffer.from(replayed.get(index)!).toString('hex')
}

test('evidence that is not what it should be is refused, each for its reason', async () => {
  await using field = await openField()
  await field.client().attest(SIGNAL)
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  const cases: readonly (readonly [string, Parameters<typeof attestWith>[1]])[] = [
    ['accepted', {}],
    ['tpm.nonce.mismatch', { nonceOf: randomBytes(64) }],
    ['tpm.quote.digest-mismatch', { json: withQuote('pcrs', (pcrs) => changedPcrs(pcrs, 4)) }],
    ['tpm.quote.signature-invalid', { json: withQuote('message', flipLast) }],
    ['event-log.replay-mismatch', { json: (json) => ({ ...json, event_log: alteredLog(4) }) }],
    ['tpm.ak.not-certified', { json: (json) => without(json, 'ak_certificate') }],
    [
      'attestation.evidence-malformed',
      { json: (json) => ({ ...json, ak_public: other.export(SPKI).toString('base64') }) },
    ],
    ['attestation.initdata-mismatch', { initdata: INITDATA }],
  ]
  for (const [code, change] of cases) assert.equal(await attestWith(field, change), code)
})

const SPKI = { type: 'spki', format: 'der' } as const
const INITDATA = 'version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n'

function withQuote(member: string, change: (value: unknown) => unknown) {
  return (json: Record<string, unknown>) => {
    const quote = json['tpm_quote'] as Record<string, unknown>
    return { ...json, tpm_quote: { ...quote, [member]: change(quote[member]) } }
  }
}

const without = (json: Record<string, unknown>, member: string) =>
  Object.fromEntries(Object.entries(json).filter(([name]) => name !== member))

const changedPcrs = (pcrs: unknown, index: number) =>
  (pcrs as string[]).with(index, 'ab'.repeat(32))

function flipLast(base64: unknown): string {
  const bytes = Buffer.from(String(base64), 'base64')
  bytes[bytes.length - 1]! ^= 1
  return bytes.toString('base64')
}

/** A log that is well-formed, and leaves out the last event of a PCR. */
function alteredLog(index: number): string {
  const last = goodBoot().findLastIndex((event) => event.index === index)
  return Buffer.from(fakeLog(goodBoot().toSpliced(last, 1))).toString('base64')
}

test('a quote serves one session: replayed, it is refused', async () => {
  await using field = await openField()
  await field.client().attest(SIGNAL)
  let first: Record<string, unknown> | undefined
  await attestWith(field, { json: (json) => (first = json) })
  assert.equal(await attestWith(field, { json: () => first! }), 'tpm.nonce.mismatch')
})

/** The steps of an enrolment by hand. @returns code in the audit and the answer */
async function enrol(
  { t }: Field,
  step: keyof typeof TPM_ENROLMENT_PATH,
  body: object,
): Promise<{ readonly code?: string | undefined; readonly answer: Record<string, string> }> {
  const answer = await t.client.call('POST', TPM_ENROLMENT_PATH[step], {}, body)
  if (answer.status === 200) return { answer: JSON.parse(answer.text) as Record<string, string> }
  const { code, requestId } = refusal(answer)
  assert.equal(code, 'tpm.enrolment-refused')
  return { code: (await t.audit(requestId)).code, answer: {} }
}

async function challengeOf(own: VtpmAttester) {
  const { endorsementCertificate, attestationKey } = await own.identity()
  return {
    'ek-certificate': Buffer.from(endorsementCertificate!).toString('base64'),
    'ak-public': Buffer.from(attestationKey).toString('base64'),
  }
}

test('what the broker encrypts to an endorsement key of either kind, its TPM opens', async () => {
  await using other = await startSwtpm({ certified: false })
  await using own = await other.open()
  const tpm = new Tpm(own)
  for (const kind of TPM_KEY_KINDS) {
    const endorsement = await tpm.createPrimary(endorsementKeyTemplate(kind))
    const key = await tpm.createPrimary(attestationKeyTemplate(kind))
    const secret = randomBytes(32)
    const { spki } = parseTpmPublicArea(endorsement.publicArea)
    const made = makeCredential({ endorsementKey: spki, name: key.name, secret })
    const handles = { attestationKey: key.handle, endorsementKey: endorsement.handle }
    assert.deepEqual(Buffer.from(await tpm.activateCredential(handles, made)), secret)
    for (const handle of [endorsement.handle, key.handle]) await tpm.flushContext(handle)
  }
})

test('an attestation key of another TPM is not certified under this one', async () => {
  await using field = await openField()
  await using stranger = await startSwtpm({ certified: false })
  await using strangerDevice = await stranger.open()
  const other = await vtpmAttester({ device: strangerDevice })
  const { attestationKey } = await other.identity()
  const request = {
    ...(await challengeOf(attester)),
    'ak-public': Buffer.from(attestationKey).toString('base64'),
  }
  const { answer } = await enrol(field, 'challenge', request)
  const credential = {
    credential: Buffer.from(answer['credential']!, 'base64'),
    secret: Buffer.from(answer['secret']!, 'base64'),
  }
  // Neither TPM opens it: one has not the endorsement key, the other not the attestation key.
  await assert.rejects(attester.activate(credential), isCode('agent.tpm-failed'))
  await assert.rejects(other.activate(credential), isCode('agent.tpm-failed'))
  const guess = { id: answer['id'], secret: randomBytes(32).toString('base64') }
  assert.equal((await enrol(field, 'certificate', guess)).code, 'tpm.enrolment.secret')
})

test('an enrolment takes one answer, and what another opened is worth nothing', async () => {
  await using field = await openField()
  const open = async () => {
    const { answer } = await enrol(field, 'challenge', await challengeOf(attester))
    const secret = await attester.activate({
      credential: Buffer.from(answer['credential']!, 'base64'),
      secret: Buffer.from(answer['secret']!, 'base64'),
    })
    return { id: answer['id'], secret: Buffer.from(secret).toString('base64') }
  }
  const [first, second] = [await open(), await open()]
  const crossed = { id: second.id, secret: first.secret }
  assert.equal((await enrol(field, 'certificate', crossed)).code, 'tpm.enrolment.secret')
  assert.equal((await enrol(field, 'certificate', second)).code, 'tpm.enrolment.unknown')
  assert.equal((await enrol(field, 'certificate', first)).code, undefined)
  assert.equal((await enrol(field, 'certificate', first)).code, 'tpm.enrolment.unknown')
})

test('an EK certificate of a CA that the owner did not pin is worth nothing', async () => {
  await using field = await openField()
  await using foreign = await startSwtpm()
  await using foreignDevice = await foreign.open()
  const other = await vtpmAttester({ device: foreignDevice })
  const { code } = await enrol(field, 'challenge', await challengeOf(other))
  assert.equal(code, 'tpm.ek.untrusted-root')
  await assert.rejects(
    field.client(makeGuestKey(), other).attest(SIGNAL),
    isCode('agent.enrolment-refused'),
  )
})

test('a key that signs anything, or could leave its TPM, is not certified', async () => {
  await using field = await openField()
  const request = await challengeOf(attester)
  const area = Buffer.from(attestationKeyTemplate('ecc'))
  // Attributes stand at 4; the template's empty point is filled in.
  const withAttributes = (attributes: number) => {
    const changed = Buffer.concat([
      area.subarray(0, -4),
      Buffer.from([0, 32]),
      randomBytes(32),
      Buffer.from([0, 32]),
      randomBytes(32),
    ])
    changed.writeUInt32BE(attributes, 4)
    return changed.toString('base64')
  }
  const unfit = [0x0004_0072, 0x0005_0070, 0x0005_0062, 0x0005_0052, 0x0007_0072]
  for (const attributes of unfit) {
    const body = { ...request, 'ak-public': withAttributes(attributes) }
    assert.equal((await enrol(field, 'challenge', body)).code, 'tpm.enrolment.key')
  }
  const garbage = { ...request, 'ak-public': randomBytes(90).toString('base64') }
  assert.equal((await enrol(field, 'challenge', garbage)).code, 'tpm.enrolment.key')
  const notEk = { ...request, 'ek-certificate': randomBytes(300).toString('base64') }
  assert.equal((await enrol(field, 'challenge', notEk)).code, 'tpm.ek.malformed')
})

test('a PCR that the policy does not accept, and a secret that asks for a TEE: refused at release', async () => {
  await using field = await openField({ pcrs: { pcr4: ['ab'.repeat(32)] } })
  const client = field.client()
  const codeOf = async (path: string) => {
    await assert.rejects(client.getResource(path, SIGNAL), isCode('agent.resource-refused'))
    return (await field.t.audit(client.requestId)).code
  }
  assert.equal(await codeOf(SECRET), 'release.tpm.pcr')
  const value = VALUE.toString('base64')
  const tpmPolicy = { version: 1, kind: 'tpm', endorsementKeys: [machine] }
  await field.t.owner('PUT', '/secrets/default/demo/tee', { value, release: fakePolicy() })
  await field.t.owner('PUT', '/secrets/default/disk-key/demo', { value, release: tpmPolicy })
  assert.equal(await codeOf('default/demo/tee'), 'release.tpm.level')
  assert.equal(await codeOf('default/disk-key/demo'), 'release.tpm.level')
})

test('removing the CA ends what stands under it: tokens, certificates and enrolments', async () => {
  await using field = await openField()
  const client = field.client()
  assert.deepEqual(await client.getResource(SECRET, SIGNAL), VALUE)
  const fingerprint = await pinAnchor(field.t, site)
  await field.t.owner('DELETE', `/anchors/tpm/${fingerprint}`)
  await assert.rejects(client.getResource(SECRET, SIGNAL), isCode('agent.resource-refused'))
  assert.equal((await field.t.audit(client.requestId)).code, 'release.tpm.anchor')
  assert.equal(await attestWith(field, {}), 'release.tpm.anchor')
  const { code } = await enrol(field, 'challenge', await challengeOf(attester))
  assert.equal(code, 'tpm.ek.untrusted-root')
})

test('after a refusal the agent enrols anew, as with a broker that was set up again', async () => {
  await using field = await openField()
  const client = field.client()
  await client.attest(SIGNAL)
  // A certificate of a broker that is no more.
  attester.certify(new FakeTpm().certificate())
  await assert.rejects(client.renew(SIGNAL), isCode('agent.attestation-refused'))
  await client.renew(SIGNAL)
})

test('the installed agent goes the whole way, and tries again while the CA is not pinned', async () => {
  await using field = await openField()
  const fingerprint = await pinAnchor(field.t, site)
  await field.t.owner('DELETE', `/anchors/tpm/${fingerprint}`)
  const { address, spki } = field.t.broker
  const said: string[] = []
  await using agent = new InstalledAgent({
    configuration: {
      version: 1,
      broker: { url: `https://${address.host}:${address.port}`, spki: [spki] },
      resources: [SECRET],
      ports: [],
    },
    found: { attester, tpm: attester },
    connect: async (host, port) => connect(port, host),
    log: (message) => said.push(message),
    retryMs: 50,
    restPort: 0,
  })
  const attested = agent.attest()
  while (said.length < 2) await sleep(20)
  assert.match(said[0]!, /agent\.enrolment-refused/)
  await pinAnchor(field.t, site)
  await attested
  assert.equal(said.at(-1), 'attested')
})

test('a certificate of another broker is none', async () => {
  await using first = await openField()
  await first.client().attest(SIGNAL)
  await using second = await openField()
  assert.equal(await attestWith(second, {}), 'tpm.ak.untrusted-root')
})
