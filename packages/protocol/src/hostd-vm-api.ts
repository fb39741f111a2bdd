/**
 * REST of hostd for machines that boot their owner's disk image: `/v1/vms`. Limits, names and the socket are those of `hostd-api`.
 * Nothing here states trust.
 */
import { z } from 'zod'
import {
  ErrorObjectSchema,
  HOSTD_LIMITS,
  PublishedPortSchema,
  StageRecordSchema,
  TargetSchema,
  WorkloadNameSchema,
} from './hostd-api.ts'
import { SEED_BYTES, VmSeedSchema } from './vm-seed.ts'

/** Bounds of one machine. */
export const VM_LIMITS = {
  diskMiB: { min: 1, max: 1 << 26 },
  /** User-data or network configuration of a seed, bytes. */
  seedBytes: SEED_BYTES,
  snapshots: 64,
  /** One event with its detail, bytes of JSON. */
  eventBytes: 64 << 10,
  /** A baseline, bytes of JSON. */
  baselineBytes: 1 << 20,
} as const

const Instant = z.iso.datetime()
const Sha256Hex = z.string().regex(/^[0-9a-f]{64}$/)

export const VmTeeSchema = z.enum(['snp', 'tdx', 'sev-es', 'sev', 'simulated', 'none'])
export type VmTee = z.infer<typeof VmTeeSchema>

/**
 * `firmware`: the disk boots by itself under OVMF. `measured`: the kernel of the disk is booted by an initrd of ours, and all of it is in
 * the launch measurement. `direct`: kernel, initrd and command line of the disk itself, measured by SEV, for a launch secret.
 */
const VmBootSchema = z.enum(['firmware', 'measured', 'direct'])

/** How each TEE boots a machine; SEV and SEV-ES have `direct` besides. */
export function bootOf(tee: VmTee): 'firmware' | 'measured' {
  return tee === 'none' || tee === 'sev' || tee === 'sev-es' ? 'firmware' : 'measured'
}

export const VmNetworkSchema = z.discriminatedUnion('kind', [
  /** Behind the host: out by user-mode NAT, in by published ports. */
  z.strictObject({ kind: z.literal('user') }),
  /** A tap of a bridge of the host; ports cannot be published. */
  z.strictObject({
    kind: z.literal('bridge'),
    /** Kernel name of the bridge: at most 15 bytes (IFNAMSIZ). */
    bridge: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/),
  }),
])
export type VmNetwork = z.infer<typeof VmNetworkSchema>

const Der = z.base64().max(64 << 10)
/** Keys that Secure Boot starts with: Microsoft's as the distribution ships them, or the owner's, each a certificate in DER, base64. */
const SecureBootKeysSchema = z.union([
  z.literal('microsoft'),
  z.strictObject({
    pk: Der,
    kek: z.array(Der).min(1).max(16),
    db: z.array(Der).min(1).max(64),
    dbx: z.array(Der).max(256).default([]),
  }),
])

const SafeName = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/)
const cpus = z.int().min(1).max(HOSTD_LIMITS.cpus)
const memoryMiB = z.int().min(HOSTD_LIMITS.memoryMiB.min).max(HOSTD_LIMITS.memoryMiB.max)
const diskMiB = z.int().min(VM_LIMITS.diskMiB.min).max(VM_LIMITS.diskMiB.max)

/** What a measured boot has beyond a firmware boot. */
const MeasuredBootSchema = z.strictObject({
  /** Boot bundle in the images folder: a guest image made of the disk's own kernel. */
  guestImage: SafeName,
  /** The exact bytes of the initdata document, base64. */
  initdata: z.base64(),
  vcpuType: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,32}$/)
    .default('EPYC-v4'),
})

const AbsolutePath = z.string().startsWith('/').max(4096)

/** What a direct boot under SEV starts; the files are copied. */
const DirectBootSchema = z.strictObject({
  /** OVMF with room for kernel hashes and a launch secret. */
  firmware: AbsolutePath,
  kernel: AbsolutePath,
  initrd: AbsolutePath,
  commandLine: z
    .string()
    .max(2048)
    .regex(/^[\x20-\x7e]*$/),
})

export const TargetsSchema = z.record(z.string().regex(/^[a-z0-9-]{1,32}$/), TargetSchema)
export type Targets = z.infer<typeof TargetsSchema>

/** Body of `POST /v1/vms`. */
export const DefineVmRequestSchema = z
  .strictObject({
    name: WorkloadNameSchema,
    image: z.strictObject({
      /** Absolute path of the disk image, raw or qcow2; it is copied. */
      path: AbsolutePath,
      /** What lists call it. */
      name: z.string().min(1).max(255),
      /** Of the file, where the caller knows it. */
      sha256: Sha256Hex.optional(),
    }),
    cpus: cpus.default(2),
    memoryMiB: memoryMiB.default(2048),
    /** Absent: the image's own size. Larger ones are grown, smaller ones refused. */
    diskMiB: diskMiB.optional(),
    tee: VmTeeSchema,
    secureBoot: z.boolean().default(true),
    secureBootKeys: SecureBootKeysSchema.default('microsoft'),
    vtpm: z.boolean().default(true),
    integrityMonitoring: z.boolean().default(true),
    seed: VmSeedSchema.optional(),
    ports: z.array(PublishedPortSchema).max(HOSTD_LIMITS.ports).default([]),
    network: VmNetworkSchema.default({ kind: 'user' }),
    /** Where streams lead that an agent in the guest opens, by name. */
    targets: TargetsSchema.default({}),
    measured: MeasuredBootSchema.optional(),
    direct: DirectBootSchema.optional(),
  })
  .refine(
    ({ tee, secureBoot, vtpm, direct }) =>
      direct === undefined || ((tee === 'sev' || tee === 'sev-es') && !secureBoot && !vtpm),
    {
      path: ['direct'],
      message: 'a direct boot is for SEV and SEV-ES, and without Secure Boot and vTPM',
    },
  )
  .refine(({ tee, measured }) => (bootOf(tee) === 'measured') === (measured !== undefined), {
    path: ['measured'],
    message: 'a measured boot needs a boot bundle and initdata, a firmware boot takes none',
  })
  .refine(({ network, ports }) => network.kind === 'user' || ports.length === 0, {
    path: ['ports'],
    message: 'a machine on a bridge has its own address: ports cannot be published',
  })
  .refine(({ integrityMonitoring, vtpm }) => vtpm || !integrityMonitoring, {
    path: ['integrityMonitoring'],
    message: 'integrity monitoring reads the vTPM',
  })
/** A definition with its defaults filled in. */
export type DefineVmRequest = z.infer<typeof DefineVmRequestSchema>
/** A definition before defaults. */
export type DefineVmRequestInput = z.input<typeof DefineVmRequestSchema>

/**
 * `defined`: never ran. `stopped`: ended in order, or was stopped. `failed`: ended by a fault, which `error` says; it can be started again.
 */
export const VmLifeStateSchema = z.enum([
  'defined',
  'stopped',
  'starting',
  'running',
  'stopping',
  'failed',
])
export type VmLifeState = z.infer<typeof VmLifeStateSchema>
/** Whether no QEMU of it runs or is about to. */
export function isAtRest(state: VmLifeState): boolean {
  return state === 'defined' || state === 'stopped' || state === 'failed'
}

/** One machine as hostd sees it. */
export const VmViewSchema = z.strictObject({
  /** Short id, 12 hex digits; its folder's name. */
  id: z.string().regex(/^[0-9a-f]{12}$/),
  name: WorkloadNameSchema,
  state: VmLifeStateSchema,
  tee: VmTeeSchema,
  boot: VmBootSchema,
  secureBoot: z.boolean(),
  secureBootKeys: z.enum(['microsoft', 'own']),
  vtpm: z.boolean(),
  integrityMonitoring: z.boolean(),
  image: z.strictObject({ name: z.string(), sha256: Sha256Hex.optional() }),
  cpus: z.int(),
  memoryMiB: z.int(),
  /** Size of its disk, as the host keeps it. */
  diskMiB: z.int(),
  /** What the guest can use of an encrypted disk: the size of its root file system. Absent: all of the disk, which is not encrypted. */
  guestDiskMiB: z.int().optional(),
  ports: z.array(PublishedPortSchema),
  network: VmNetworkSchema,
  /** Of its network card; fixed for its life. */
  mac: z.string().regex(/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/),
  hasSeed: z.boolean(),
  /** The boot bundle of a measured boot. */
  guestImage: z.strictObject({ name: z.string(), imageVersion: z.int() }).optional(),
  /** SHA-256 of the initdata's bytes; only in a measured boot. */
  initdataDigest: Sha256Hex.optional(),
  vcpuType: z.string().optional(),
  /** How the guest's processor is run; absent until it was started once. */
  accelerator: z.enum(['kvm', 'tcg']).optional(),
  /** How often it was started. */
  boots: z.int(),
  createdAt: Instant,
  /** Of the last start. */
  startedAt: Instant.optional(),
  /** Of the last end. */
  endedAt: Instant.optional(),
  /** QEMU's process id; absent when none runs. */
  pid: z.int().optional(),
  /** Whether an agent in the guest has answered since the start. It may be anybody's. */
  hasAgent: z.boolean(),
  /** Boot stages that the guest wrote since the start; a firmware boot writes none. */
  stages: z.array(StageRecordSchema).max(64),
  /** When the vTPM's process was found dead while the machine ran: it needs a restart to have a TPM again. */
  vtpmLostAt: Instant.optional(),
  /** Since when the guest stands still because the host has no space for a write to its disk; it goes on by itself when there is some. */
  diskFullAt: Instant.optional(),
  /** In state `failed`, after a guest's restart that needs a new QEMU: when it is started. Absent: it is not. */
  restartsAt: Instant.optional(),
  /** How it ended, in state `stopped`. */
  why: z.string().optional(),
  /** Only in state `failed`. */
  error: ErrorObjectSchema.optional(),
})
export type VmView = z.infer<typeof VmViewSchema>

/** `GET /v1/vms`. */
export const VmListSchema = z.strictObject({ vms: z.array(VmViewSchema) })

/** Body of `POST …/start`. */
export const StartVmRequestSchema = z.strictObject({
  /** Where streams lead from now on, of names that it was defined with. Absent, and for names that are absent: where they led before. */
  targets: TargetsSchema.default({}),
})
export type StartVmRequestInput = z.input<typeof StartVmRequestSchema>

/** Body of `POST …/stop`. */
export const StopVmRequestSchema = z.strictObject({
  /** Ends it at once, as pulling the plug does. */
  force: z.boolean().default(false),
  /** Between the ACPI power button and the end. An emulated Debian needs twenty seconds. */
  timeoutMs: z.int().min(0).max(3_600_000).default(90_000),
})
export type StopVmRequestInput = z.input<typeof StopVmRequestSchema>

/** Body of `POST …/restart`. */
export const RestartVmRequestSchema = z.strictObject({
  ...StopVmRequestSchema.shape,
  ...StartVmRequestSchema.shape,
})
export type RestartVmRequestInput = z.input<typeof RestartVmRequestSchema>

/** Body of `POST …/resize`; absent members stay as they are. */
export const ResizeVmRequestSchema = z.strictObject({
  cpus: cpus.optional(),
  memoryMiB: memoryMiB.optional(),
  /** Disks only grow. */
  diskMiB: diskMiB.optional(),
})
export type ResizeVmRequest = z.infer<typeof ResizeVmRequestSchema>

/** Bytes in base64, of a length between two. */
function sizedBase64(least: number, most: number) {
  const bytesOf = (text: string) => Buffer.from(text, 'base64').length
  return z
    .base64()
    .max(Math.ceil(most / 3) * 4)
    .refine((text) => bytesOf(text) >= least && bytesOf(text) <= most, 'of another length')
}

/** Body of `POST …/sev-launch`: the owner's session with the firmware (AMD 55766, LAUNCH_START). */
export const SevLaunchRequestSchema = z.strictObject({
  certificate: sizedBase64(2084, 2084),
  session: sizedBase64(128, 128),
})
export type SevLaunchRequest = z.infer<typeof SevLaunchRequestSchema>

/** Its answer, while the guest stands still. */
export const SevLaunchSchema = z.strictObject({
  /** 32 bytes of measure and 16 of nonce. */
  measurement: sizedBase64(48, 48),
  api: z.strictObject({
    major: z.int().min(0).max(255),
    minor: z.int().min(0).max(255),
    build: z.int().min(0).max(255),
  }),
})
export type SevLaunch = z.infer<typeof SevLaunchSchema>

/** Body of `POST …/sev-launch/secret`: a packet that the firmware alone can open (LAUNCH_SECRET). */
export const SevSecretSchema = z.strictObject({
  header: sizedBase64(52, 52),
  secret: sizedBase64(16, 16 << 10),
})
export type SevSecret = z.infer<typeof SevSecretSchema>

export const SnapshotNameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
/** Body of `POST …/snapshots`. */
export const SnapshotRequestSchema = z.strictObject({ name: SnapshotNameSchema })
const SnapshotSchema = z.strictObject({ name: z.string().max(256), createdAt: Instant })
export type Snapshot = z.infer<typeof SnapshotSchema>
/** `GET …/snapshots`. */
export const SnapshotListSchema = z.strictObject({ snapshots: z.array(SnapshotSchema) })

const VM_EVENTS = [
  'defined',
  'starting',
  'running',
  'found-again',
  'agent-answered',
  'vtpm-lost',
  'disk-full',
  'resumed',
  'restarting',
  'stopping',
  'stopped',
  'failed',
  'resized',
  'snapshot-made',
  'snapshot-restored',
  'snapshot-deleted',
  'baseline-stored',
  'memory-dumped',
  'integrity',
] as const
/** One line of `GET …/events`, oldest first; the history is bounded. */
export const VmEventSchema = z.strictObject({
  time: Instant,
  type: z.enum(VM_EVENTS),
  why: z.string().max(2000).optional(),
  /** What else belongs to it: sizes, a snapshot's name, registers. */
  detail: z.record(z.string(), z.unknown()).optional(),
})
export type VmEvent = z.infer<typeof VmEventSchema>

/** Body of `POST …/events`: what the owner's appraisal found. */
export const IntegrityEventSchema = VmEventSchema.omit({ time: true }).extend({
  type: z.literal('integrity'),
})
export type IntegrityEvent = z.infer<typeof IntegrityEventSchema>

/** `GET …/boot-log`. */
export const BootLogSchema = z.strictObject({
  /** `agent`: the guest's agent gave it. `memory`: found in its RAM; no quote stands behind it. */
  source: z.enum(['agent', 'memory']),
  /** The TCG event log, base64. */
  log: z.base64(),
})
export type BootLog = z.infer<typeof BootLogSchema>

/** `PUT …/baseline` and the answer of `GET`: opaque to hostd. */
export const BaselineSchema = z.record(z.string(), z.unknown())

/** Answer of `POST …/memory-dump`. Integers are hex text: addresses exceed what JSON numbers hold. */
export const MemoryDumpSchema = z.strictObject({
  /** On the host; the caller removes it. */
  file: z.string(),
  ranges: z
    .array(
      z.strictObject({
        start: z.string().regex(/^0x[0-9a-f]{1,16}$/),
        bytes: z.int().min(0),
        isReadable: z.boolean(),
        /** Whether every byte read was zero. */
        isBlank: z.boolean(),
      }),
    )
    .max(4096),
})
export type MemoryDump = z.infer<typeof MemoryDumpSchema>

/** What all guests of this host may have together; absent members are not limited. */
export const QuotaSchema = z.strictObject({
  /** vCPUs of guests that run. */
  cpus: z.int().min(1).max(65_536).optional(),
  /** Memory of guests that run. */
  memoryMiB: z
    .int()
    .min(1)
    .max(1 << 26)
    .optional(),
  /** Disks of all machines, as their guests see them. */
  diskMiB: z
    .int()
    .min(1)
    .max(2 ** 31)
    .optional(),
})
export type Quota = z.infer<typeof QuotaSchema>

/** `GET` and the answer of `PUT /v1/quota`. */
export const QuotaAnswerSchema = z.strictObject({
  /** What was set. */
  set: QuotaSchema,
  /** As in force: what was set, and the default for vCPUs. */
  limit: QuotaSchema,
  used: z.strictObject({ cpus: z.int(), memoryMiB: z.int(), diskMiB: z.int() }),
})
export type QuotaAnswer = z.infer<typeof QuotaAnswerSchema>
