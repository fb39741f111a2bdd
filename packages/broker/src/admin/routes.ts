/** The owner's side of the broker, /cloister/v1. Shapes stand in `@cloister/protocol/broker-admin-api`. */
import { Hono, type Context } from 'hono'
import { z } from 'zod'
import {
  PlatformIdSchema,
  PutGuestImageSchema,
  PutIntelCollateralSchema,
  PutRevocationListSchema,
  PutSecretSchema,
  PutSimulatedAnchorSchema,
  PutTpmAnchorSchema,
  PutWorkloadSchema,
  AnyReleasePolicySchema,
  AUDIT_LOG_PATH,
  InstanceNameSchema,
  WithdrawGuestImageSchema,
  WithdrawWorkloadSchema,
  type BrokerStatus,
  type EndedInstance,
  type GuestImageList,
  type AnyReleasePolicy,
  type SecretList,
} from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import {
  initdataDigest,
  initdataField,
  parseInitdata,
  parseAnyWorkload,
} from '@cloister/protocol/initdata'
import { LIMITS } from '@cloister/protocol/limits'
import { parseTilePath } from '@cloister/protocol/tlog/tiles'
import { ResourcePathSchema } from '@cloister/protocol/workload'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseBundle } from '@cloister/verifier/endorsements/bundle'
import { parseRevocationList } from '@cloister/verifier/formats/x509-crl'
import { commonName } from '@cloister/verifier/formats/x509-name'
import { isTcbPreset, TCB_PRESETS } from '@cloister/verifier/snp/tcb-presets'
import type { BrokerEnv } from '../http/app.ts'
import { parseJson } from '../http/body.ts'
import type { BrokerParts } from '../parts.ts'
import type { GuestImage } from '../storage/reference-values.ts'
import type { Secret } from '../storage/secrets.ts'
import { rolledBack } from '../endorsements/collateral-order.ts'
import {
  INTEL_PLATFORMS,
  type IntelCollateral,
  type TrustSettings,
} from '../storage/trust-settings.ts'
import { HOST_DATA_BYTES } from '../attestation/sent-initdata.ts'
import type { AuthorizeAdmin } from './authorize.ts'
import { describeTpmAnchor, newTpmAnchor } from './tpm-anchor.ts'
import { recordAction } from './record-action.ts'
import { deleteSecret, setReleasePolicy, storeSecret } from './secret-actions.ts'

/** What status says beside what the parts know. */
export type BrokerFacts = Pick<BrokerStatus, 'url' | 'spki'> & {
  /** Absent: nothing is fetched. */
  readonly refreshState?: BrokerStatus['fetchesEndorsements']
}

const AUDIT_LIMIT = { default: 100, maximum: 1000 } as const
const AuditQuerySchema = z.object({
  requestId: z.string().max(64).optional(),
  workload: z.string().max(64).optional(),
  before: z.coerce.number().int().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(AUDIT_LIMIT.maximum).default(AUDIT_LIMIT.default),
})
const FmspcSchema = z.string().regex(/^[0-9a-f]{12}$/)

export function adminRoutes(
  parts: BrokerParts,
  authorizeAdmin: AuthorizeAdmin,
  facts: () => BrokerFacts,
): Hono<BrokerEnv> {
  const routes = new Hono<BrokerEnv>()
  const { secrets, workloads, instances, referenceValues, trust, audit } = parts
  const record = (c: AdminContext, action: string, subject: string) =>
    recordAction(parts, c.get('requestId'), action, subject)

  routes.use(async (c, next) => {
    await authorizeAdmin(c.req.header('authorization'), parts.now())
    await next()
  })

  routes.get('/status', (c) => c.json(status(parts, facts())))

  routes.get('/secrets', (c) => c.json({ secrets: secrets.list().map(describeSecret) }))
  routes.put('/secrets/:path{.+}', async (c) => {
    const path = resourcePath(c)
    const { value, allowSimulated, release } = await read(c, parts, PutSecretSchema)
    await assertEnforceable(release)
    const bytes = Buffer.from(value, 'base64')
    if (bytes.length > LIMITS.resourceBytes)
      throw new CloisterError('broker.body-too-large', {
        expected: `at most ${LIMITS.resourceBytes} bytes`,
        received: `${bytes.length} bytes`,
      })
    const secret = { path, value: bytes, allowSimulated, policy: release }
    return c.json({ path, version: storeSecret(parts, c.get('requestId'), secret) })
  })
  routes.delete('/secrets/:path{.+}', (c) => {
    deleteSecret(parts, c.get('requestId'), resourcePath(c))
    return c.body(null, 204)
  })
  routes.put('/release-policies/:path{.+}', async (c) => {
    const path = resourcePath(c)
    const policy = await read(c, parts, AnyReleasePolicySchema)
    await assertEnforceable(policy)
    setReleasePolicy(parts, c.get('requestId'), { path, policy })
    return c.body(null, 204)
  })

  routes.get('/workloads', (c) => c.json({ workloads: workloads.list() }))
  routes.put('/workloads/:name', async (c) => {
    const name = c.req.param('name')
    const { initdata } = await read(c, parts, PutWorkloadSchema)
    const document = Buffer.from(initdata, 'base64')
    const workload = newRevision(name, document)
    record(c, 'workload.register', `${name} revision ${workload.revision}`)
    workloads.register({ ...workload, initdata: document }, parts.now())
    return c.json(workloads.findByInitdata(workload.initdataDigest))
  })
  routes.post('/workloads/:name/withdraw', async (c) => {
    const name = c.req.param('name')
    const { revision } = await read(c, parts, WithdrawWorkloadSchema)
    record(c, 'workload.withdraw', `${name} ${revision ?? 'all'}`)
    if (!workloads.withdraw(name, revision)) throw new CloisterError('broker.not-found')
    return c.body(null, 204)
  })

  routes.get('/instances', (c) => c.json({ instances: instances.list(parts.now()) }))
  routes.delete('/instances/:key', (c) => {
    const key = InstanceNameSchema.safeParse(c.req.param('key'))
    if (!key.success)
      throw new CloisterError('request.malformed', { why: 'an instance has 64 hex digits' })
    record(c, 'instance.end', key.data)
    return c.json({ lived: instances.end(key.data, parts.now()) } satisfies EndedInstance)
  })

  routes.get('/guest-images', (c) =>
    c.json({ guestImages: referenceValues.list().map(describeGuestImage) }),
  )
  routes.put('/guest-images/:name', async (c) => {
    const image = await read(c, parts, PutGuestImageSchema)
    const { name, imageVersion } = image.manifest
    if (name !== c.req.param('name'))
      throw new CloisterError('request.malformed', { why: 'the manifest has another name' })
    record(c, 'guest-image.register', `${name} ${imageVersion} ${image.anchors} ${image.mode}`)
    referenceValues.register(image, parts.now())
    return c.body(null, 204)
  })
  routes.post('/guest-images/:name/withdraw', async (c) => {
    const name = c.req.param('name')
    const { imageVersion } = await read(c, parts, WithdrawGuestImageSchema)
    record(c, 'guest-image.withdraw', `${name} ${imageVersion}`)
    if (!referenceValues.withdraw(name, imageVersion)) throw new CloisterError('broker.not-found')
    return c.body(null, 204)
  })

  routes.put('/anchors/simulated', async (c) => {
    const { fingerprint } = await read(c, parts, PutSimulatedAnchorSchema)
    if (secrets.hasReal()) throw new CloisterError('broker.simulated.secrets')
    record(c, 'anchor.pin-simulated', fingerprint)
    trust.pinSimulatedRoot(fingerprint, parts.now())
    return c.body(null, 204)
  })
  routes.delete('/anchors/simulated/:fingerprint', (c) => {
    const fingerprint = c.req.param('fingerprint')
    record(c, 'anchor.unpin-simulated', fingerprint)
    if (!trust.unpinSimulatedRoot(fingerprint)) throw new CloisterError('broker.not-found')
    return c.body(null, 204)
  })

  routes.get('/anchors/tpm', (c) => c.json({ anchors: trust.tpmAnchors().map(describeTpmAnchor) }))
  routes.put('/anchors/tpm', async (c) => {
    const anchor = newTpmAnchor(await read(c, parts, PutTpmAnchorSchema))
    record(c, 'anchor.pin-tpm', anchor.fingerprint)
    trust.pinTpmAnchor(anchor, parts.now())
    return c.body(null, 204)
  })
  routes.delete('/anchors/tpm/:fingerprint', (c) => {
    const fingerprint = c.req.param('fingerprint')
    record(c, 'anchor.unpin-tpm', fingerprint)
    if (!trust.unpinTpmAnchor(fingerprint)) throw new CloisterError('broker.not-found')
    return c.body(null, 204)
  })

  routes.get('/platforms', (c) => c.json({ platforms: trust.platforms() }))
  routes.put('/platforms/:chipId', (c) => {
    const chipId = validChipId(c.req.param('chipId'))
    record(c, 'platform.enroll', chipId)
    trust.enrollPlatform(chipId, parts.now())
    return c.body(null, 204)
  })
  routes.delete('/platforms/:chipId', (c) => {
    const chipId = validChipId(c.req.param('chipId'))
    record(c, 'platform.remove', chipId)
    if (!trust.removePlatform(chipId)) throw new CloisterError('broker.not-found')
    return c.body(null, 204)
  })

  routes.put('/revocation-lists', async (c) => {
    const { der } = await read(c, parts, PutRevocationListSchema)
    const list = validRevocationList(Buffer.from(der, 'base64'))
    record(c, 'revocation-list.add', `${der.length} characters`)
    trust.addRevocationList(list)
    return c.body(null, 204)
  })

  routes.put('/intel-collateral', async (c) => {
    const { bundle } = await read(c, parts, PutIntelCollateralSchema)
    const collateral = validIntelCollateral(Buffer.from(bundle, 'base64'))
    refuseRollBack(trust, collateral)
    record(c, 'intel-collateral.put', `${collateral.fmspc} ${collateral.ca}`)
    if (!trust.putIntelCollateral(collateral))
      throw new CloisterError('request.malformed', {
        where: 'bundle',
        why: `the broker keeps collateral of ${INTEL_PLATFORMS} kinds of platforms at most`,
      })
    return c.body(null, 204)
  })
  routes.delete('/intel-collateral/:fmspc', (c) => {
    const fmspc = FmspcSchema.safeParse(c.req.param('fmspc'))
    if (!fmspc.success)
      throw new CloisterError('request.malformed', { why: 'an FMSPC has 12 hex digits' })
    record(c, 'intel-collateral.remove', fmspc.data)
    if (!trust.removeIntelCollateral(fmspc.data)) throw new CloisterError('broker.not-found')
    return c.body(null, 204)
  })

  routes.get(AUDIT_LOG_PATH, (c) => {
    const query = AuditQuerySchema.safeParse(c.req.query())
    if (!query.success) throw new CloisterError('request.malformed')
    parts.strangers.flush(parts.now())
    return c.json({ entries: audit.find(query.data) })
  })
  routes.get(`${AUDIT_LOG_PATH}/checkpoint`, (c) => c.text(audit.checkpoint()))
  routes.get(`${AUDIT_LOG_PATH}/tile/:path{.+}`, (c) => {
    const name = parseTilePath(c.req.param('path'))
    if (name === undefined) throw new CloisterError('broker.not-found')
    return c.body(Uint8Array.from(audit.tile(name)), 200, {
      'content-type': 'application/octet-stream',
    })
  })
  return routes
}

type AdminContext = Context<BrokerEnv>

function status(parts: BrokerParts, facts: BrokerFacts): BrokerStatus {
  const { secrets, workloads, referenceValues, trust, audit } = parts
  return {
    version: parts.version,
    url: facts.url,
    spki: facts.spki,
    tokenSigner: parts.tokenSigner,
    auditKey: audit.publicKey,
    attestationAuthority: parts.attestationAuthority.certificatePem,
    simulatedRoots: [...trust.simulatedRoots()],
    revocationLists: trust.revocationLists().map(describeRevocationList),
    intelCollateral: trust.intelBundles().map(({ fmspc, ca, bundle }) => ({
      fmspc,
      ca,
      fetchedAt: bundle.fetchedAt.getTime(),
      expires: bundle.expires.getTime(),
    })),
    fetchesEndorsements: facts.refreshState ?? null,
    counts: {
      secrets: secrets.count(),
      workloads: workloads.count(),
      guestImages: referenceValues.count(),
      platforms: trust.platformCount(),
      auditEntries: audit.count(),
    },
  }
}

function describeRevocationList(der: Uint8Array): BrokerStatus['revocationLists'][number] {
  const { issuer, thisUpdate, nextUpdate } = parseRevocationList(der)
  return {
    issuer: commonName(issuer) ?? '',
    thisUpdate: thisUpdate.getTime(),
    nextUpdate: nextUpdate.getTime(),
  }
}

function describeSecret({ policy, ...secret }: Secret): SecretList['secrets'][number] {
  return { ...secret, release: policy ?? null }
}

function describeGuestImage({
  withdrawn,
  measurements,
  ...image
}: GuestImage): GuestImageList['guestImages'][number] {
  return { ...image, measurements: [...measurements], state: withdrawn ? 'withdrawn' : 'current' }
}

function newRevision(name: string, document: Uint8Array) {
  const initdata = parseInitdata(document)
  const workload = parseAnyWorkload(initdata)
  if (workload.name !== name)
    throw new CloisterError('broker.workload.name', { expected: name, received: workload.name })
  const field = initdataField(initdataDigest(document, initdata.algorithm), HOST_DATA_BYTES)
  return {
    name,
    revision: workload.revision,
    instances: workload.instances,
    initdataDigest: Buffer.from(field).toString('hex'),
  }
}

async function read<Schema extends z.ZodType>(
  c: AdminContext,
  { bodies, limits }: BrokerParts,
  schema: Schema,
): Promise<z.infer<Schema>> {
  const parsed = schema.safeParse(parseJson(await bodies.read(c.env.incoming, limits.bodyBytes)))
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new CloisterError('request.malformed', {
    where: issue?.path.map(String).join('.') ?? '',
    ...(issue !== undefined && { why: issue.message.slice(0, 200) }),
  })
}

/** @throws CloisterError `broker.rego` */
async function assertEnforceable(policy: AnyReleasePolicy | undefined): Promise<void> {
  assertKnownPreset(policy)
  if (policy?.rego === undefined) return
  const { assertReleaseRego } = await import('../release/rego-policy.ts')
  assertReleaseRego(policy.rego)
}

/** A preset that nobody knows would release nothing, and nobody would know why. */
function assertKnownPreset(policy: AnyReleasePolicy | undefined): void {
  const preset = policy?.kind === 'tpm' ? undefined : policy?.minimumTcbPreset
  if (preset === undefined || isTcbPreset(preset)) return
  throw new CloisterError('request.malformed', {
    where: 'release.minimumTcbPreset',
    expected: Object.keys(TCB_PRESETS).join(' or '),
    received: preset,
  })
}

function resourcePath(c: AdminContext): string {
  const path = ResourcePathSchema.safeParse(c.req.param('path'))
  if (path.success) return path.data
  throw new CloisterError('request.malformed', { why: 'a path has three parts', where: 'path' })
}

/** One list that cannot be read would make every attestation under AMD's anchors fail. */
function validRevocationList(der: Uint8Array): Uint8Array {
  try {
    parseRevocationList(der)
    return der
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('request.malformed', { where: 'der', why: cause.message, cause })
  }
}

/** The verifier judges each item when it is used; here only whether it can be read, and for which platform it is. */
function validIntelCollateral(bytes: Uint8Array): IntelCollateral {
  const bundle = wellFormed(() => parseBundle(bytes))
  const { fmspc = '', ca } = bundle.subject
  if (bundle.tee !== 'tdx' || !FmspcSchema.safeParse(fmspc).success)
    throw new CloisterError('request.malformed', {
      where: 'bundle',
      why: 'it is no collateral for TDX that names its FMSPC',
    })
  if (ca !== 'platform' && ca !== 'processor')
    throw new CloisterError('request.malformed', { where: 'bundle', why: 'it names no issuer' })
  return { fmspc, ca, bundle }
}

/** @throws CloisterError `broker.collateral-earlier` */
function refuseRollBack(trust: TrustSettings, { fmspc, ca, bundle }: IntelCollateral): void {
  const known = trust.intelBundles().find((other) => other.fmspc === fmspc && other.ca === ca)
  const earlier = known && wellFormed(() => rolledBack(bundle, known.bundle))
  if (earlier !== undefined) throw new CloisterError('broker.collateral-earlier', { why: earlier })
}

function wellFormed<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('request.malformed', { where: 'bundle', why: cause.message, cause })
  }
}

function validChipId(text: string): string {
  const chipId = PlatformIdSchema.safeParse(text)
  if (chipId.success) return chipId.data
  throw new CloisterError('request.malformed', {
    why: 'a chip id has 128 hex digits, a PPID or platform instance id has 32',
  })
}
