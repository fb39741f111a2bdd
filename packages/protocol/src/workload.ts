/**
 * The workload as its owner wrote it: the member `cloister.json` of the initdata's `[data]`. It is measured (its digest
 * is the guest's HOST_DATA), readable by the host, and the only source of what the guest may run. This is that of a container; that of a
 * VM stands in `vm-workload`.
 */
import { z } from 'zod'

/** `sha256:` and 64 hex digits. */
export const DigestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/)

/** `repository/type/tag`, the path of a resource at the broker. */
export const ResourcePathSchema = z.string().regex(/^[\w-][\w.-]*\/[\w-][\w.-]*\/[\w-][\w.-]*$/)

export const WorkloadBrokerSchema = z.strictObject({
  /** Base URL, https. The host name is only for the Host header: the connection goes to the mux target `broker`. */
  url: z.url({ protocol: /^https$/ }),
  /** SHA-256 of the DER SubjectPublicKeyInfo, hex, of the keys that the broker's TLS may have; two so that keys can rotate. */
  spki: z
    .array(z.string().regex(/^[0-9a-f]{64}$/))
    .min(1)
    .max(2),
})

const RegistrySchema = z.strictObject({
  /** Mux target that carries the connection, as named in `network.targets`. */
  target: z.string(),
  /** Plain HTTP: only for the read-only endpoint of hostd, whose bytes are checked by digest. */
  plainHttp: z.boolean().default(false),
  /** PEM certificates that the registry's TLS may chain to. Absent: the public roots in the guest image. */
  ca: z.array(z.string()).optional(),
  /** Broker resource holding `{"auths":{…}}` (Docker config); used for this registry's host only. Absent: anonymous. */
  credentials: ResourcePathSchema.optional(),
})

const ImageSchema = z.strictObject({
  /** `host/repository@sha256:…`; a tag, when present, is for people. */
  reference: z.string(),
  /** Digest of the platform's manifest, not of an index. */
  digest: DigestSchema,
  registry: RegistrySchema,
  /** Broker resources that may hold keys of its layers. Absent: any that the broker releases. */
  keys: z.array(ResourcePathSchema).max(128).optional(),
  /** containers-policy.json(5) as an object. Absent: any image of that digest. */
  signaturePolicy: z.record(z.string(), z.unknown()).optional(),
})

const SecretSchema = z
  .strictObject({
    resource: ResourcePathSchema,
    /** Absolute path in the container, a file on tmpfs, mode 0400. */
    file: z.string().startsWith('/').optional(),
    /** Name of an environment variable. */
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
      .optional(),
  })
  .refine(
    (secret) => (secret.file === undefined) !== (secret.env === undefined),
    'a secret goes to either a file or a variable',
  )

const ContainerSchema = z.strictObject({
  /** The id that CreateContainer must use. */
  id: z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/),
  /** Replaces the image's Cmd (and Entrypoint when `entrypoint` is given). Absent: the image's. */
  args: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  /** `NAME=value`, added over the image's. In clear to the host: secrets go by reference. */
  env: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*=/)).default([]),
  cwd: z.string().startsWith('/').optional(),
  /** `uid[:gid]` or names of the image. Absent: the image's. */
  user: z.string().optional(),
  readonlyRootfs: z.boolean().default(false),
  secrets: z.array(SecretSchema).default([]),
  /** Resources that the container may read at 127.0.0.1:8006/cdh/resource/. */
  resources: z.array(ResourcePathSchema).default([]),
})

/** What the host may ask of the guest beyond starting what is named here. All off unless set. */
const HostPolicySchema = z.strictObject({
  readStdout: z.boolean().default(false),
  readStderr: z.boolean().default(false),
  /** SIGTERM and SIGKILL, which a stop needs; the host can end the VM anyway. */
  signal: z.boolean().default(true),
  /** Numbers of further signals: what a program makes of one is its own affair, so none but these comes through. */
  signals: z.array(z.int().min(1).max(64)).max(64).default([]),
  exec: z.boolean().default(false),
  writeStdin: z.boolean().default(false),
  /** CoCo's raw /aa/evidence and /aa/token for the containers. */
  rawAttestationApi: z.boolean().default(false),
})

export const OwnNameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
export const MuxTargetSchema = z.string().regex(/^[a-z0-9-]{1,32}$/)
export const GuestPortSchema = z.int().min(1).max(65535)

export const InstancesSchema = z.int().min(1).max(1024)

export const WorkloadSchema = z.strictObject({
  version: z.literal(1),
  name: OwnNameSchema,
  /** Rises with each registration of this name at the broker. */
  revision: z.int().min(1),
  /** How many instances the broker lets live at once. Absent: any number. */
  instances: InstancesSchema.optional(),
  broker: WorkloadBrokerSchema,
  image: ImageSchema,
  container: ContainerSchema,
  hostPolicy: HostPolicySchema.prefault({}),
  network: z
    .strictObject({
      /** Names of mux targets that the guest may open; nothing else is reachable unless `egress`. */
      targets: z.array(MuxTargetSchema).default(['broker']),
      /** Guest TCP ports that the host forwards to. Bytes on them are in clear to the host unless the workload encrypts. */
      ports: z.array(GuestPortSchema).default([]),
      egress: z.enum(['none', 'user']).default('none'),
    })
    .prefault({}),
})

/** A workload; every default is filled in after parsing. */
export type Workload = z.infer<typeof WorkloadSchema>
/** A workload before defaults. */
export type WorkloadInput = z.input<typeof WorkloadSchema>
