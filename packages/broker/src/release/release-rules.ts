/** The rules of a release, one function each, in the order in which their checks stand in the audit. */
import type { MinimumTcb, ReleasePolicy } from '@cloister/protocol/broker-admin-api'
import type { ReleaseCheckCode } from '@cloister/protocol/errors/broker'
import { primaryReportData } from '@cloister/protocol/report-data'
import {
  measurementOf,
  platformIdsOf,
  type AttestationResult,
  type SnpResult,
  type TeeResult,
} from '../attestation/attestation-result.ts'
import { TPM_NONCE_BYTES } from '../attestation/appraise-tpm.ts'
import { tokenClaims } from '../attestation/token-signer.ts'
import { MODE_OF_ANCHORS, type ReferenceValue } from '../storage/reference-values.ts'
import type { Secret } from '../storage/secrets.ts'
import { instanceName } from '../storage/instances.ts'
import type { WorkloadRevision } from '../storage/workload-registry.ts'
import { isTcbPreset, tcbFloorOf } from '@cloister/verifier/snp/tcb-presets'
import type { RegoAnswer, RegoQuestion } from './rego-policy.ts'

/** What the owner registered about this Attester, as it stands now. */
export interface RegistryState {
  /** The revision whose initdata digest is HOST_DATA. */
  readonly workload: WorkloadRevision | undefined
  /** Whether the key is that of an instance that lives. Absent: the workload may have any number of them. */
  readonly isLiveInstance?: boolean
  /** Guest images with the report's measurement, withdrawn ones too. */
  readonly guestImages: readonly ReferenceValue[]
  readonly platformEnrolled: boolean
  /** Fingerprints of the simulated roots that are pinned now. */
  readonly simulatedRoots: readonly string[]
  /** Fingerprints of the CAs of EK certificates that are pinned now. */
  readonly tpmAnchors: readonly string[]
}

export interface ReleaseCheck {
  readonly code: ReleaseCheckCode
  readonly outcome: 'pass' | 'fail'
  readonly expected?: string
  readonly received?: string
}

/** One rule for evidence of a kind of TEE; undefined when the policy does not ask for what it checks. */
export type ReleaseRule<Result extends TeeResult = TeeResult> = (
  request: ReleaseRequest<Result>,
) => ReleaseCheck | undefined

/** What a decision needs beside who asks and what is registered. */
export interface ReleaseContext {
  /** Milliseconds since 1970. */
  readonly now: number
  /** Absent: policies with Rego release nothing. */
  readonly askRego?: (source: string, question: RegoQuestion) => RegoAnswer
}

export interface ReleaseRequest<Result extends TeeResult = TeeResult> extends ReleaseContext {
  readonly secret: Secret
  readonly policy: ReleasePolicy
  readonly attestation: Result
  readonly registry: RegistryState
}

/** What holds for every TEE, before what each has of its own. */
export const TEE_RULES: readonly ReleaseRule[] = [
  tokenInTime,
  keyIsBound,
  anchorsListed,
  simulationAllowed,
  measurementRegistered,
  imageInForce,
  imageListed,
  imageNewEnough,
  workloadRegistered,
  workloadInForce,
  workloadCurrent,
  workloadListed,
]

/** Of those, what no policy decides: whether guest image and workload are registered and in force. */
const REGISTRATION_RULES: readonly ((request: RegistrationRequest) => ReleaseCheck | undefined)[] =
  [
    measurementRegistered,
    imageInForce,
    workloadRegistered,
    workloadInForce,
    workloadCurrent,
    instanceLive,
  ]

/** Whether the guest is one that the owner registered, whatever secrets it may have. */
export function isRegistered(request: RegistrationRequest): boolean {
  return (
    isRootPinned(request) && REGISTRATION_RULES.every((rule) => rule(request)?.outcome !== 'fail')
  )
}

export const SNP_RULES: readonly ReleaseRule<SnpResult>[] = [
  ...TEE_RULES,
  appraisalGoodEnough,
  ({ attestation: { claims } }) => equals('release.vmpl', '0', String(claims.vmpl)),
  ({ attestation: { claims } }) => unset('release.debug', claims.policy_debug_allowed),
  ({ attestation: { claims } }) =>
    unset('release.migration-agent', claims.policy_migrate_ma || claims.migration_agent),
  guestPolicyAllowed,
  processorListed,
  minimumTcb('release.tcb.reported', ({ reported_tcb }) => reported_tcb),
  minimumTcb('release.tcb.committed', ({ committed_tcb }) => committed_tcb),
  minimumTcb('release.tcb.launch', ({ launch_tcb }) => launch_tcb),
  platformListed,
  regoAllows,
  instanceLive,
]

/** Who asks, and what the owner registered about him. */
type RegistrationRequest = Pick<ReleaseRequest, 'attestation' | 'registry'>

/** What rules for every kind of Attester look at. */
export interface AnyReleaseRequest extends ReleaseContext {
  readonly secret: Secret
  readonly policy: Pick<ReleasePolicy, 'rego'>
  readonly attestation: AttestationResult
}

export function tokenInTime({ attestation, now }: AnyReleaseRequest): ReleaseCheck {
  const received = new Date(attestation.expiresAt).toISOString()
  return check('release.token-expired', now < attestation.expiresAt, { received })
}

/**
 * The key that the answer is encrypted to is the one in REPORT_DATA: composed anew, not taken from the token's word. A TPM's quote carries the
 * beginning of it.
 */
export function keyIsBound({ attestation }: AnyReleaseRequest): ReleaseCheck {
  const { runtimeData, reportData, anchors } = attestation
  const expected = primaryReportData(
    { nonce: runtimeData.nonce, teePublicKey: runtimeData['tee-pubkey'] },
    runtimeData['additional-evidence'],
  )
  const carried = anchors === 'tpm' ? expected.subarray(0, TPM_NONCE_BYTES) : expected
  return equals('release.key', Buffer.from(carried).toString('hex'), reportData)
}

function isRootPinned({
  attestation: { anchors, claims },
  registry,
}: RegistrationRequest): boolean {
  return anchors !== 'simulated' || registry.simulatedRoots.includes(claims.simulated_root ?? '')
}

function anchorsListed(request: ReleaseRequest): ReleaseCheck {
  const { policy, attestation } = request
  const { anchors } = attestation
  const pinned = isRootPinned(request)
  return check('release.anchors', pinned && policy.anchors.includes(anchors), {
    expected: policy.anchors.join(' or '),
    received: pinned ? anchors : `${anchors}, root no longer pinned`,
  })
}

function simulationAllowed({ secret, attestation }: ReleaseRequest): ReleaseCheck {
  const { anchors } = attestation
  return check('release.simulated', anchors !== 'simulated' || secret.allowSimulated, {
    expected: secret.allowSimulated ? 'any anchors' : 'hardware anchors',
    received: anchors,
  })
}

/** A Milan chip's root seed can be extracted, so one that the owner does not know is at most degraded (design, 8). */
function appraisalGoodEnough({
  policy,
  attestation,
  registry,
}: ReleaseRequest<SnpResult>): ReleaseCheck {
  const { claims, anchors } = attestation
  const known = registry.platformEnrolled || isNamed(policy, attestation)
  const unknownMilan = anchors === 'amd' && claims.processor === 'Milan' && !known
  const affirming = attestation.appraisal === 'affirming' && !unknownMilan
  return check('release.attestation-degraded', affirming || policy.allowDegraded, {
    expected: policy.allowDegraded ? 'affirming or warning' : 'affirming',
    received: unknownMilan ? 'warning: Milan chip not enrolled' : attestation.appraisal,
  })
}

/** Images that count: of the anchor set of the evidence and of its one attester mode (design, rule 3). */
function matching({ attestation: { anchors }, registry }: RegistrationRequest) {
  return registry.guestImages.filter(
    (image) => image.anchors === anchors && image.mode === MODE_OF_ANCHORS[anchors],
  )
}

const inForce = (request: RegistrationRequest) =>
  matching(request).filter((image) => !image.withdrawn)

function listedImages(request: ReleaseRequest) {
  const names = new Set(request.policy.guestImages.map(({ name }) => name))
  return inForce(request).filter(({ name }) => names.has(name))
}

function measurementRegistered(request: RegistrationRequest): ReleaseCheck {
  const received = measurementOf(request.attestation)
  return check('release.measurement-unknown', matching(request).length > 0, { received })
}

function imageInForce(request: RegistrationRequest): ReleaseCheck {
  const received = matching(request).map(imageText).join(', ')
  return check('release.image-withdrawn', inForce(request).length > 0, { received })
}

function imageListed(request: ReleaseRequest): ReleaseCheck {
  return check('release.image-not-listed', listedImages(request).length > 0, {
    expected: request.policy.guestImages.map(({ name }) => name).join(' or '),
    received: inForce(request).map(imageText).join(', '),
  })
}

function imageNewEnough(request: ReleaseRequest): ReleaseCheck {
  const { guestImages } = request.policy
  const newEnough = listedImages(request).some((image) =>
    guestImages.some(
      ({ name, minimumVersion }) => name === image.name && image.imageVersion >= minimumVersion,
    ),
  )
  return check('release.image-version', newEnough, {
    expected: guestImages.map((image) => `${image.name} ${image.minimumVersion}`).join(' or '),
    received: listedImages(request).map(imageText).join(', '),
  })
}

function imageText({ name, imageVersion }: ReferenceValue): string {
  return `${name} ${imageVersion}`
}

function workloadRegistered({ attestation, registry }: RegistrationRequest): ReleaseCheck {
  const received = attestation.hostData
  return check('release.workload-unregistered', registry.workload !== undefined, { received })
}

function workloadInForce({ registry: { workload } }: RegistrationRequest): ReleaseCheck {
  const known = workload !== undefined && workload.state !== 'withdrawn'
  return check('release.workload-withdrawn', known, { received: revisionText(workload) })
}

function workloadCurrent({ registry: { workload } }: RegistrationRequest): ReleaseCheck {
  const known = workload !== undefined && workload.state !== 'superseded'
  return check('release.workload-superseded', known, { received: revisionText(workload) })
}

function workloadListed({ policy, registry: { workload } }: ReleaseRequest): ReleaseCheck {
  const listed = policy.workloads.some(
    ({ name, minimumRevision = 1, maximumRevision = Infinity }) =>
      name === workload?.name &&
      workload.revision >= minimumRevision &&
      workload.revision <= maximumRevision,
  )
  return check('release.workload-not-listed', listed, {
    expected: policy.workloads.map(({ name }) => name).join(' or '),
    received: revisionText(workload),
  })
}

/** The last: whom another rule refuses has no place, and is refused for that rule. */
export function instanceLive({
  registry,
  attestation,
}: RegistrationRequest): ReleaseCheck | undefined {
  if (registry.isLiveInstance === undefined) return undefined
  const received = instanceName(attestation.runtimeData['tee-pubkey'])
  return check('release.instance', registry.isLiveInstance, { received })
}

function revisionText(workload: WorkloadRevision | undefined): string {
  return workload === undefined
    ? 'none'
    : `${workload.name} revision ${workload.revision}, ${workload.state}`
}

function guestPolicyAllowed({
  policy,
  attestation: { claims },
}: ReleaseRequest<SnpResult>): ReleaseCheck {
  const { allowSmt, allowCxl, requireSingleSocket } = policy.guestPolicy
  const bits = [
    claims.policy_smt_allowed && !allowSmt && 'SMT allowed',
    claims.policy_cxl_allowed && !allowCxl && 'CXL allowed',
    requireSingleSocket && !claims.policy_single_socket && 'single socket not required',
  ].filter((text) => text !== false)
  return check('release.guest-policy', bits.length === 0, { received: bits.join(', ') })
}

function processorListed({
  policy,
  attestation: { claims },
}: ReleaseRequest<SnpResult>): ReleaseCheck {
  const { minimumTcb, minimumTcbPreset: preset } = policy
  const lines = Object.keys(minimumTcb)
  const known = preset === undefined ? [] : [`a processor of preset ${preset}`]
  return check('release.processor', floorsFor(policy, claims).length > 0, {
    expected: [...lines, ...known].join(' or '),
    received: processorText(claims),
  })
}

type Claims = SnpResult['claims']

type Floor = { readonly [Component in keyof MinimumTcb]?: number | null | undefined }

/** By line and by preset; both hold where both say something. */
function floorsFor({ minimumTcb, minimumTcbPreset: preset }: ReleasePolicy, claims: Claims) {
  const own: Floor | undefined = minimumTcb[claims.processor]
  const known = preset !== undefined && isTcbPreset(preset)
  const dated = known ? tcbFloorOf(preset, claims.processor_id ?? undefined) : undefined
  return [
    ...(own === undefined ? [] : [{ tcb: own, text: tcbText(own) }]),
    ...(dated === undefined
      ? []
      : [{ tcb: dated.tcb, text: `${tcbText(dated.tcb)} (${dated.bulletins.join(', ')})` }]),
  ]
}

function processorText({ processor, processor_id: id }: Claims): string {
  if (id === null) return `${processor}, which processor is not said`
  return `${processor}, family 0x${id.family.toString(16)}, model 0x${id.model.toString(16)}, stepping ${id.stepping}`
}

function minimumTcb(
  code: ReleaseCheckCode,
  pick: (claims: Claims) => MinimumTcb,
): ReleaseRule<SnpResult> {
  return ({ policy, attestation: { claims } }) => {
    const floors = floorsFor(policy, claims)
    const actual = pick(claims)
    const enough =
      floors.length > 0 && floors.every(({ tcb }) => TCB_COMPONENTS.every(atLeast(actual, tcb)))
    return check(code, enough, {
      expected: floors.length === 0 ? 'none given' : floors.map(({ text }) => text).join(' and '),
      received: tcbText(actual),
    })
  }
}

const TCB_COMPONENTS = ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const

/** Component by component, never as one number. */
function atLeast(actual: MinimumTcb, minimum: Floor) {
  return (component: (typeof TCB_COMPONENTS)[number]) =>
    (actual[component] ?? 0) >= (minimum[component] ?? 0)
}

function tcbText(tcb: Floor): string {
  return TCB_COMPONENTS.filter((component) => tcb[component] != null)
    .map((component) => `${component} ${tcb[component]}`)
    .join(', ')
}

export function platformListed({ policy, attestation, registry }: ReleaseRequest): ReleaseCheck {
  const { platforms } = policy
  const received = platformIdsOf(attestation).join(', ')
  if (platforms === 'any') return check('release.platform', true, { received })
  const listed = platforms === 'enrolled' ? registry.platformEnrolled : isNamed(policy, attestation)
  return check('release.platform', listed, { expected: 'an enrolled chip', received })
}

function isNamed({ platforms }: ReleasePolicy, attestation: TeeResult): boolean {
  return Array.isArray(platforms) && platformIdsOf(attestation).some((id) => platforms.includes(id))
}

/** One more demand beside the others: Rego cannot allow what they refuse. */
export function regoAllows({
  policy,
  secret,
  attestation,
  now,
  askRego,
}: AnyReleaseRequest): ReleaseCheck | undefined {
  if (policy.rego === undefined) return undefined
  const claims = tokenClaims(attestation.token)
  const answer = askRego?.(policy.rego, { claims, path: secret.path, now })
  const allow = answer?.allow === true
  return check('release.rego', allow, {
    expected: 'data.policy.allow is true',
    received: allow ? 'true' : (answer?.why ?? 'not asked'),
  })
}

export function equals(code: ReleaseCheckCode, expected: string, received: string): ReleaseCheck {
  return check(code, expected === received, { expected, received })
}

export function unset(code: ReleaseCheckCode, bit: boolean): ReleaseCheck {
  return equals(code, 'false', String(bit))
}

export function check(
  code: ReleaseCheckCode,
  passed: boolean,
  { expected, received }: { readonly expected?: string; readonly received?: string },
): ReleaseCheck {
  const outcome = passed ? 'pass' : 'fail'
  if (expected === undefined)
    return received === undefined ? { code, outcome } : { code, outcome, received }
  return received === undefined
    ? { code, outcome, expected }
    : { code, outcome, expected, received }
}
