/**
 * REST of hostd over its unix socket `<runtime>/hostd.sock`: what each call takes and gives.
 * Both sides parse: hostd because anybody with the socket may call, the caller because the host is hostile to the data owner.
 * Nothing here states trust: that is computed by the owner's side from evidence or a pinned broker's token.
 */
import { z } from 'zod'
import type { ErrorObject } from './error.ts'

/** Rises when a call changes its meaning; a client of another number must not go on. */
export const HOSTD_API_VERSION = 1

/** Name of the protocol that `connect` upgrades to. */
export const HOSTD_STREAM_PROTOCOL = 'cloister-stream'

/** Bounds of one call. */
export const HOSTD_LIMITS = {
  /** A request or a whole answer, bytes. */
  bodyBytes: 8 << 20,
  /** One NDJSON line of events or logs, bytes. */
  lineBytes: 1 << 20,
  cpus: 64,
  memoryMiB: { min: 256, max: 1 << 20 },
  scratchMiB: { min: 64, max: 1 << 24 },
  ports: 64,
  targets: 16,
} as const

const Sha256Hex = z.string().regex(/^[0-9a-f]{64}$/)
const Instant = z.iso.datetime()
const Port = z.int().min(1).max(65535)

export const WorkloadNameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
/** Driver that starts the guest. `simulated` protects nothing. */
export const TeeSchema = z.enum(['snp', 'simulated'])

export const PublishedPortSchema = z.strictObject({
  /** Address of the host to listen on. */
  address: z.ipv4().default('127.0.0.1'),
  host: Port,
  guest: Port,
})

/** `host:port`, IPv6 in brackets. */
const TcpAddress = z.string().regex(/^(?:[\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$/)
const TargetName = z.string().regex(/^[a-z0-9-]{1,32}$/)

/** Where hostd carries a mux target that the guest opens. */
export const TargetSchema = z.union([
  z.strictObject({ tcp: TcpAddress }),
  /** Absolute path of an OCI image layout, served read-only by hostd's registry endpoint over plain HTTP. */
  z.strictObject({ layout: z.string().startsWith('/') }),
])
export type Target = z.infer<typeof TargetSchema>

/** Body of `POST /v1/targets/move`: what a target of this name leads to has another address now. */
export const MoveTargetSchema = z.strictObject({
  name: TargetName,
  from: TcpAddress,
  to: TcpAddress,
})
export type MoveTarget = z.infer<typeof MoveTargetSchema>

/** Its answer: names of the workloads and VMs whose streams led there, and follow. */
export const MovedTargetsSchema = z.strictObject({ followed: z.array(z.string()) })

/** Body of `POST /v1/workloads`. */
export const StartRequestSchema = z.strictObject({
  name: WorkloadNameSchema,
  /** The exact bytes of the initdata document, base64. They reach the guest unchanged. */
  initdata: z.base64(),
  guestImage: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/)
    .default('base'),
  cpus: z.int().min(1).max(HOSTD_LIMITS.cpus).default(2),
  memoryMiB: z.int().min(HOSTD_LIMITS.memoryMiB.min).max(HOSTD_LIMITS.memoryMiB.max).default(1024),
  /** Size of the sparse scratch disk. */
  scratchMiB: z
    .int()
    .min(HOSTD_LIMITS.scratchMiB.min)
    .max(HOSTD_LIMITS.scratchMiB.max)
    .default(8192),
  tee: TeeSchema,
  /** QEMU name of the vCPU type in the launch digest. */
  vcpuType: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,32}$/)
    .default('EPYC-v4'),
  /** Boots the `debug` command line with a console; another launch digest, and never more than trust `debug`. */
  debug: z.boolean().default(false),
  ports: z.array(PublishedPortSchema).max(HOSTD_LIMITS.ports).default([]),
  /** By name; each name in the workload's `network.targets` must stand here. */
  targets: z.record(TargetName, TargetSchema).default({}),
})
/** A start request with its defaults filled in. */
export type StartRequest = z.infer<typeof StartRequestSchema>
/** A start request before defaults. */
export type StartRequestInput = z.input<typeof StartRequestSchema>

/**
 * `starting`: from the request until the container was started. `stopping`: a stop was asked for.
 * `exited`: the container ended and its exit code is known. `failed`: anything else ended it; `error` says what.
 */
export const WorkloadStateSchema = z.enum(['starting', 'running', 'stopping', 'exited', 'failed'])
export type WorkloadState = z.infer<typeof WorkloadStateSchema>
/** Whether the guest is gone for good. */
export function isEnded(state: WorkloadState): boolean {
  return state === 'exited' || state === 'failed'
}

export const ErrorObjectSchema = z
  .looseObject({ code: z.string(), title: z.string() })
  .transform((value) => value as unknown as ErrorObject)

export const StageRecordSchema = z.strictObject({
  number: z.int(),
  /** As the guest wrote it: one of `STAGES` in an honest guest. */
  name: z.string().max(32),
  /** Guest uptime, milliseconds. */
  guestMs: z.number(),
  /** Since the start was asked for, milliseconds of the host's clock. */
  hostMs: z.number(),
})
export type StageRecord = z.infer<typeof StageRecordSchema>

/** One workload as hostd sees it. */
export const WorkloadViewSchema = z.strictObject({
  /** Short id, 12 hex digits; another for each start of one name. */
  id: z.string().regex(/^[0-9a-f]{12}$/),
  name: WorkloadNameSchema,
  state: WorkloadStateSchema,
  tee: TeeSchema,
  debug: z.boolean(),
  guestImage: z.strictObject({ name: z.string(), imageVersion: z.int() }),
  /** vCPU type in the launch digest; under emulation the guest's processor is another one. */
  vcpuType: z.string(),
  /** How the guest's processor is run; absent until its VM was started. */
  accelerator: z.enum(['kvm', 'tcg']).optional(),
  cpus: z.int(),
  memoryMiB: z.int(),
  scratchMiB: z.int(),
  ports: z.array(PublishedPortSchema),
  /** From the initdata: image reference and manifest digest. */
  image: z.strictObject({ reference: z.string(), digest: z.string() }),
  /** SHA-256 of the initdata's bytes: what HOST_DATA must be. */
  initdataDigest: Sha256Hex,
  createdAt: Instant,
  /** When the container was started; absent before. */
  startedAt: Instant.optional(),
  endedAt: Instant.optional(),
  /** QEMU's process id; absent when none runs. */
  pid: z.int().optional(),
  /** Boot stages in the order in which the guest wrote them; the last is where it is. */
  stages: z.array(StageRecordSchema).max(64),
  /** Exit code of the container (128 + signal when a signal ended it); only in state `exited`. */
  exitCode: z.int().optional(),
  /** Only in state `failed`. */
  error: ErrorObjectSchema.optional(),
})
export type WorkloadView = z.infer<typeof WorkloadViewSchema>

/** `GET /v1/workloads`. */
export const WorkloadListSchema = z.strictObject({ workloads: z.array(WorkloadViewSchema) })

/** `GET /v1/workloads/<name>` and the answer to a start: the view and the initdata's bytes, base64. */
export const WorkloadDetailSchema = WorkloadViewSchema.extend({ initdata: z.base64() })
export type WorkloadDetail = z.infer<typeof WorkloadDetailSchema>

/** Body of `POST …/stop`. */
export const StopRequestSchema = z.strictObject({
  /** Ends the VM at once instead of asking the container first. */
  force: z.boolean().default(false),
  /** How long the container has between SIGTERM and the end of its VM. */
  timeoutMs: z.int().min(0).max(600_000).default(10_000),
})
export type StopRequestInput = z.input<typeof StopRequestSchema>

/** One line of `GET …/logs`: a piece of output, not necessarily a whole line of it. */
export const LogEntrySchema = z.strictObject({
  stream: z.enum(['stdout', 'stderr']),
  /** When hostd read it. */
  time: Instant,
  /** UTF-8; bytes that are none are replaced. From the guest: escape it before showing it on a terminal. */
  text: z.string(),
})
export type LogEntry = z.infer<typeof LogEntrySchema>

/** Body of `POST …/evidence`: 16 to 64 bytes as hex. */
export const EvidenceRequestSchema = z.strictObject({
  nonce: z.string().regex(/^(?:[0-9a-f]{2}){16,64}$/),
})

/** What the guest's GetEvidence answered; hostd checks nothing of it. */
export const EvidenceAnswerSchema = z.strictObject({
  tee: z.string().max(32),
  /** The KBS `snp` evidence, as the exact JSON text that the guest gave. */
  evidenceJson: z.string(),
  /** SubjectPublicKeyInfo DER, base64. */
  agentKey: z.base64(),
  channelKey: z.base64(),
  /** The initdata that the guest booted with, base64. */
  initdata: z.base64(),
})
export type EvidenceAnswer = z.infer<typeof EvidenceAnswerSchema>

/** What the guest's GetStatus answered. Empty text means: not yet, or none. */
export const StatusAnswerSchema = z.strictObject({
  stage: z.string(),
  attestations: z.int(),
  /** The broker's EAR. */
  token: z.string(),
  imageDigest: z.string(),
  errorCode: z.string(),
  requestId: z.string(),
})
export type StatusAnswer = z.infer<typeof StatusAnswerSchema>

/** `GET …/console`: the end of the serial console, empty unless the guest was started with `debug`. */
export const ConsoleAnswerSchema = z.strictObject({ text: z.string() })

/** `GET /v1/info`. */
export const HostdInfoSchema = z.strictObject({
  /** Cloister's version; compare with the caller's own. */
  version: z.string(),
  apiVersion: z.int(),
  pid: z.int(),
  startedAt: Instant,
  home: z.string(),
  workloads: z.strictObject({ live: z.int(), ended: z.int() }),
  vms: z.strictObject({ live: z.int(), atRest: z.int() }),
})
export type HostdInfo = z.infer<typeof HostdInfoSchema>
