/**
 * The owner's side of the broker, `/cloister/v1/…`: shapes of requests and answers. Every call carries
 * `Authorization: Bearer <JWT>` signed by the owner's Ed25519 key, with `role: "admin"`, `aud` the broker's URL
 * and `exp` at most five minutes ahead.
 */
import { z } from 'zod'
import { GuestImageManifestSchema } from './guest-image-manifest.ts'
import { ATTESTER_MODES } from './guest-names.ts'
import { ResourcePathSchema } from './workload.ts'

export const ADMIN_PATH = '/cloister/v1'
export const ADMIN_ROLE = 'admin'
/** A token may not live longer, seconds. */
export const ADMIN_TOKEN_SECONDS = 300

const Hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const Name = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/)
const Svn = z.int().min(0).max(255)
const MAX_REGO = 1 << 18
/** Milliseconds since 1970. */
const Time = z.int()

/**
 * Whose signature evidence stands under. `amd` (SEV-SNP) and `intel` (TDX): the roots compiled into the verifier. `simulated`: a root that was
 * pinned by fingerprint; it proves nothing about hardware.
 */
const AnchorSetSchema = z.enum(['amd', 'intel', 'simulated'])
export type AnchorSet = z.infer<typeof AnchorSetSchema>

/** Lowest component values; compared one by one. `fmc` is for Turin and later; absent: 0. */
export const MinimumTcbSchema = z.strictObject({
  bootloader: Svn,
  tee: Svn,
  snp: Svn,
  microcode: Svn,
  fmc: Svn.optional(),
})
export type MinimumTcb = z.infer<typeof MinimumTcbSchema>

export const PROCESSOR_LINES = ['Milan', 'Genoa', 'Turin'] as const
export type ProcessorLine = (typeof PROCESSOR_LINES)[number]

/** What Intel's collateral may say of a platform's TCB, but `Revoked`, which no policy accepts. */
export const INTEL_TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
] as const

/**
 * What a policy demands of TDs beside the guest image, which MRTD, RTMR1 and RTMR2 together must match. Absent members are at their strictest, but
 * `rtmr0`: without it any value passes, and the result is a warning.
 */
export const TdxReleaseSchema = z.strictObject({
  /** Accepted statuses of the platform's TCB. */
  tcbStatuses: z.array(z.enum(INTEL_TCB_STATUSES)).min(1).default(['UpToDate']),
  /** With it, a status other than `UpToDate` is accepted only if Intel's advisories for the platform are all on this list. */
  acceptAdvisories: z.array(z.string().max(64)).max(256).optional(),
  /** Least number of the TCB recovery that the collateral is of. */
  minimumEvaluationDataNumber: z.int().min(0).optional(),
  /** Accepted values of RTMR0: the firmware's settings and what the host told it of the machine (memory, ACPI tables). */
  rtmr0: z.array(Hex(48)).min(1).max(64).optional(),
  /** Accepted XFAM (8 bytes, as the quote has them). Absent: any. */
  xfam: z.array(Hex(8)).min(1).max(64).optional(),
})
export type TdxRelease = z.infer<typeof TdxReleaseSchema>

/** Names of machines: chip ids of AMD (64 bytes), PPIDs or platform instance ids of Intel (16 bytes), hex. */
export const PlatformIdSchema = z.union([Hex(64), Hex(16)])

/**
 * Who may have a secret (design, rule 2). All of it must hold at each release. What cannot be chosen here always holds:
 * VMPL 0, no debug, no migration agent, a registered current workload revision, a registered guest image.
 */
export const ReleasePolicySchema = z.strictObject({
  version: z.literal(1),
  kind: z.literal('tee').optional(),
  anchors: z.array(AnchorSetSchema).min(1),
  /** By name, and by revision when given (inclusive). */
  workloads: z
    .array(
      z.strictObject({
        name: Name,
        minimumRevision: z.int().min(1).optional(),
        maximumRevision: z.int().min(1).optional(),
      }),
    )
    .min(1),
  guestImages: z.array(z.strictObject({ name: Name, minimumVersion: z.int().min(1) })).min(1),
  /**
   * Processor lines that may have it, each with the lowest reported, committed and launch TCB. A line not listed gets nothing, unless the preset has a
   * figure for its processor.
   */
  minimumTcb: z.partialRecord(z.enum(PROCESSOR_LINES), MinimumTcbSchema),
  /** One of the verifier's dated presets, such as `2026-04`: minimums for each processor by AMD's bulletins; those above hold beside it. */
  minimumTcbPreset: z
    .string()
    .regex(/^\d{4}-\d{2}$/)
    .optional(),
  guestPolicy: z
    .strictObject({
      allowSmt: z.boolean().default(true),
      allowCxl: z.boolean().default(false),
      requireSingleSocket: z.boolean().default(false),
    })
    .prefault({}),
  /** For evidence under Intel's anchors, in place of `minimumTcb` and `guestPolicy`. Absent: its defaults. */
  tdx: TdxReleaseSchema.optional(),
  /** `any`, those enrolled at the broker, or these. */
  platforms: z
    .union([z.enum(['any', 'enrolled']), z.array(PlatformIdSchema).min(1)])
    .default('any'),
  /** Also when the appraisal has warnings, as for a Milan chip that is not enrolled (its root seed can be extracted). */
  allowDegraded: z.boolean().default(false),
  /**
   * Rego v1, package `policy`: `data.policy.allow` must be true beside all of the above. `input` is the claims of the token, `data` has `plugin`,
   * `resource-path` and `query` as in Trustee.
   */
  rego: z.string().min(1).max(MAX_REGO).optional(),
})
export type ReleasePolicy = z.infer<typeof ReleasePolicySchema>

/** The second part of a disk key's path. What stands there goes to a TEE alone, whatever its policy says. */
export const DISK_KEY_TYPE = 'disk-key'

const PCR_NAMES = Array.from({ length: 24 }, (_, index) => `pcr${index}` as const)
/** Of the SHA-256 bank, or of the SHA-384 bank where the TPM keeps no other. */
const PcrValue = z.string().regex(/^(?:[0-9a-f]{64}|[0-9a-f]{96})$/)

/**
 * Who may have a secret that is meant for VMs with a virtual TPM and no TEE. The host runs such a TPM, so this protects against whoever changes the
 * guest, and against no host: a secret that must be kept from the host needs {@link ReleasePolicySchema}.
 */
const TpmReleasePolicySchema = z.strictObject({
  version: z.literal(1),
  kind: z.literal('tpm'),
  /** SHA-256 of EK certificates' DER: the machines, each by its TPM. */
  endorsementKeys: z.array(Hex(32)).min(1),
  /** The event log must show Secure Boot enforced. */
  requireSecureBoot: z.boolean().default(true),
  /** Accepted values of PCRs; those not named may be anything. */
  pcrs: z.partialRecord(z.enum(PCR_NAMES), z.array(PcrValue).min(1)).default({}),
  rego: z.string().min(1).max(MAX_REGO).optional(),
})
export type TpmReleasePolicy = z.infer<typeof TpmReleasePolicySchema>

export const AnyReleasePolicySchema = z.discriminatedUnion('kind', [
  ReleasePolicySchema,
  TpmReleasePolicySchema,
])
export type AnyReleasePolicy = z.infer<typeof AnyReleasePolicySchema>
export type ReleasePolicyInput = z.input<typeof ReleasePolicySchema>
export type AnyReleasePolicyInput = z.input<typeof AnyReleasePolicySchema>

/** One check with what was wanted and what came; the owner alone sees these. */
const CheckSchema = z.object({
  code: z.string(),
  outcome: z.enum(['pass', 'fail', 'undecided', 'warning', 'not-checked']),
  expected: z.string().optional(),
  received: z.string().optional(),
  where: z.string().optional(),
})
export type AuditCheck = z.infer<typeof CheckSchema>

/** GET /status */
export const BrokerStatusSchema = z.object({
  version: z.string(),
  /** The URL that admin tokens name as `aud`. */
  url: z.string(),
  /** SHA-256 of the DER SubjectPublicKeyInfo of the TLS key, hex; the next key's too while keys rotate. */
  spki: z.array(Hex(32)).min(1).max(2),
  /** Certificate of the token signer, PEM. */
  tokenSigner: z.string(),
  /** CA under which this broker certifies attestation keys of TPMs, PEM. */
  attestationAuthority: z.string(),
  /** Key that signs the audit's checkpoints, in the form of signed notes: `<origin>+<id>+<key>`. */
  auditKey: z.string(),
  /** Pinned simulated roots: SHA-256 of the root certificate's DER, hex. */
  simulatedRoots: z.array(Hex(32)),
  /** AMD's revocation lists, whether signed or not: that is judged when one is used. */
  revocationLists: z.array(z.object({ issuer: z.string(), thisUpdate: Time, nextUpdate: Time })),
  /** Intel's collateral for TDX platforms, by their kind; `expires` is the end of whatever of it ends first. */
  intelCollateral: z.array(
    z.object({ fmspc: z.string(), ca: z.string(), fetchedAt: Time, expires: Time }),
  ),
  /** Null: the owner brings the lists. `roundAt` is null before the first round ended. */
  fetchesEndorsements: z
    .object({ roundAt: Time.nullable(), problems: z.array(z.string()) })
    .nullable(),
  counts: z.object({
    secrets: z.int(),
    workloads: z.int(),
    guestImages: z.int(),
    platforms: z.int(),
    auditEntries: z.int(),
  }),
})
export type BrokerStatus = z.infer<typeof BrokerStatusSchema>

/** PUT /secrets/<r>/<t>/<tag>. Without `release` the stored policy stays; without any the secret goes to nobody. */
export const PutSecretSchema = z.strictObject({
  /** Base64, standard alphabet with padding. */
  value: z.base64(),
  /** May go to a simulated TEE, which protects nothing. */
  allowSimulated: z.boolean().default(false),
  release: AnyReleasePolicySchema.optional(),
})
export type PutSecret = z.input<typeof PutSecretSchema>

export const PutSecretResultSchema = z.object({ path: ResourcePathSchema, version: z.int() })
export type PutSecretResult = z.infer<typeof PutSecretResultSchema>

/** GET /secrets; never values. */
export const SecretListSchema = z.object({
  secrets: z.array(
    z.object({
      path: ResourcePathSchema,
      version: z.int(),
      createdAt: Time,
      allowSimulated: z.boolean(),
      release: AnyReleasePolicySchema.nullable(),
    }),
  ),
})
export type SecretList = z.infer<typeof SecretListSchema>

/** PUT /workloads/<name> */
export const PutWorkloadSchema = z.strictObject({ initdata: z.base64() })
export type PutWorkload = z.infer<typeof PutWorkloadSchema>

export const REVISION_STATES = ['current', 'superseded', 'withdrawn'] as const
export const WorkloadRevisionSchema = z.object({
  name: Name,
  revision: z.int(),
  /** SHA-256 of the initdata's bytes, hex: HOST_DATA. */
  initdataDigest: Hex(32),
  state: z.enum(REVISION_STATES),
  registeredAt: Time,
  /** How many may live at once. Absent: any number. */
  instances: z.int().optional(),
})
export type WorkloadRevision = z.infer<typeof WorkloadRevisionSchema>
export const WorkloadListSchema = z.object({ workloads: z.array(WorkloadRevisionSchema) })

/** POST /workloads/<name>/withdraw. Without `revision`: all of them. */
export const WithdrawWorkloadSchema = z.strictObject({ revision: z.int().min(1).optional() })

/** SHA-256 of the key's required members (RFC 7638), hex. */
export const InstanceNameSchema = Hex(32)

/** GET /instances: those that live, of workloads that may have only so many. DELETE /instances/<key> ends one for good, also one that does not live now. */
export const InstanceListSchema = z.object({
  instances: z.array(
    z.object({
      workload: Name,
      revision: z.int(),
      /** How many of that revision may live at once. */
      limit: z.int(),
      key: InstanceNameSchema,
      since: Time,
      /** The end of its last token. */
      expiresAt: Time,
    }),
  ),
})
/** The answer to DELETE /instances/<key>. */
export const EndedInstanceSchema = z.object({ lived: z.boolean() })
export type EndedInstance = z.infer<typeof EndedInstanceSchema>

export type Instance = z.infer<typeof InstanceListSchema>['instances'][number]

/** PUT /guest-images/<name> */
export const PutGuestImageSchema = z.strictObject({
  manifest: GuestImageManifestSchema,
  mode: z.enum(ATTESTER_MODES),
  anchors: AnchorSetSchema,
})
export type PutGuestImage = z.infer<typeof PutGuestImageSchema>

export const GuestImageListSchema = z.object({
  guestImages: z.array(
    z.object({
      name: Name,
      imageVersion: z.int(),
      mode: z.enum(ATTESTER_MODES),
      anchors: AnchorSetSchema,
      digests: z.int(),
      /** Each in hex: launch digests, or for TDX MRTD, RTMR1 and RTMR2 in one. Absent: a broker that has not been started anew since an update. */
      measurements: z.array(z.string().regex(/^(?:[0-9a-f]{96}){1,3}$/)).default([]),
      state: z.enum(['current', 'withdrawn']),
      registeredAt: Time,
    }),
  ),
})
export type GuestImageList = z.infer<typeof GuestImageListSchema>

/** POST /guest-images/<name>/withdraw: in every mode. */
export const WithdrawGuestImageSchema = z.strictObject({ imageVersion: z.int().min(1) })

/** PUT /anchors/simulated, DELETE /anchors/simulated/<fingerprint>: SHA-256 of the root certificate's DER, hex. */
export const PutSimulatedAnchorSchema = z.strictObject({ fingerprint: Hex(32) })

/**
 * PUT /anchors/tpm: a CA under which EK certificates are believed, and intermediates that lead to it. DER in base64.
 */
export const PutTpmAnchorSchema = z.strictObject({
  certificate: z.base64(),
  intermediates: z.array(z.base64()).max(8).default([]),
})
export type PutTpmAnchor = z.input<typeof PutTpmAnchorSchema>

/** GET /anchors/tpm; DELETE /anchors/tpm/<fingerprint>. */
export const TpmAnchorListSchema = z.object({
  anchors: z.array(
    z.object({
      /** SHA-256 of the certificate's DER, hex. */
      fingerprint: Hex(32),
      subject: z.string(),
      pinnedAt: Time,
    }),
  ),
})
export type TpmAnchorList = z.infer<typeof TpmAnchorListSchema>

/** GET /platforms, PUT and DELETE /platforms/<id> */
export const PlatformListSchema = z.object({
  platforms: z.array(z.object({ chipId: PlatformIdSchema, enrolledAt: Time })),
})
export type PlatformList = z.infer<typeof PlatformListSchema>

/** PUT /intel-collateral: a bundle of endorsements for TDX, as `cloister evidence fetch --tee tdx` writes it, in base64. */
export const PutIntelCollateralSchema = z.strictObject({ bundle: z.base64() })
export type PutIntelCollateral = z.infer<typeof PutIntelCollateralSchema>

/** PUT /revocation-lists: one of AMD's, DER in base64. */
export const PutRevocationListSchema = z.strictObject({ der: z.base64() })

/**
 * Code of the checks of an attestation of a TD, one for each event of RTMR0 in the order of its log: `received` is the digest, `where` what the log says of
 * it, in brackets where the digest is not of that.
 */
export const MACHINE_EVENT = 'attestation.machine-event'

/** What an entry of the audit says. */
export const AuditContentSchema = z.object({
  time: Time,
  requestId: Hex(16),
  /** `guest`: what a guest has said of a refusal of its own. */
  kind: z.enum(['attestation', 'enrolment', 'release', 'guest', 'admin']),
  outcome: z.enum(['allowed', 'refused']),
  /** The first failed check, or the admin call; absent when allowed. */
  code: z.string().optional(),
  workload: z.string().optional(),
  revision: z.int().optional(),
  /** Path of the secret, or what the admin call was about. */
  subject: z.string().optional(),
  checks: z.array(CheckSchema),
})
export type AuditContent = z.infer<typeof AuditContentSchema>

/** An entry with its place in the log. */
export interface AuditEntry extends AuditContent {
  /** 0 is the first. */
  readonly index: number
  /** Of the leaf, hex. */
  readonly hash: string
}

/** `leaf` is the entry as JSON text, exactly as it was hashed: `audit-entry` reads it. */
const AuditLeafSchema = z.object({ index: z.int().min(0), leaf: z.string() })
export type AuditLeaf = z.infer<typeof AuditLeafSchema>

/** GET /audit?requestId=&workload=&before=&limit=; newest first. */
export const AuditListSchema = z.object({ entries: z.array(AuditLeafSchema) })

/**
 * Where the log is read as C2SP tlog-tiles has it: `checkpoint`, `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]` below this.
 */
export const AUDIT_LOG_PATH = '/audit'
