/**
 * A measured VM as its owner wrote it: the other shape that the member `cloister.json` of the initdata may have. It is bound to the guest as
 * a container's workload is: its digest stands in HOST_DATA, its revision is registered at the broker, and the host can read it.
 */
import { z } from 'zod'
import {
  GuestPortSchema,
  InstancesSchema,
  MuxTargetSchema,
  OwnNameSchema,
  ResourcePathSchema,
  WorkloadBrokerSchema,
  type Workload,
} from './workload.ts'

/** File systems of a root that the boot bundle's modules and the agent can mount. */
export const ROOT_FILE_SYSTEMS = ['ext4'] as const
export type RootFileSystem = (typeof ROOT_FILE_SYSTEMS)[number]

/** A path of the root as it stands in a unit name or a mount: no dots, nothing that needs quoting. */
const PlainPathSchema = z
  .string()
  .regex(/^\/(?:[\w+.-]+\/)*[\w+.-]+$/)
  .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'holds dots')

/** The host can read it and change it: nothing that it holds is protected. */
const PlainDiskSchema = z.strictObject({
  kind: z.literal('plain'),
  /** Number of the root's partition on the system disk. */
  partition: z.int().min(1).max(128),
})

/** LUKS2 with integrity, as `sealed-disk` lays it out. */
const SealedDiskSchema = z.strictObject({
  kind: z.literal('sealed'),
  /** Stands in the disk's label: 16 bytes, hex. */
  id: z.string().regex(/^[0-9a-f]{32}$/),
  /** Bytes of the encrypted area, a multiple of a MiB. */
  dataBytes: z
    .int()
    .min(1 << 20)
    .refine((bytes) => bytes % (1 << 20) === 0, 'is no multiple of a MiB'),
  /** SHA-256 of the records from which the first boot takes its content. They are encrypted: it confirms no guess of what is in them. */
  source: z.string().regex(/^[0-9a-f]{64}$/),
  /** Broker resource: 32 bytes from which every key of the disk is derived. */
  key: ResourcePathSchema,
  /** Broker resource that is there while the disk is to get another key. */
  nextKey: ResourcePathSchema,
  /** Broker resource that is there while the disk is to get a recovery key. */
  recoveryKey: ResourcePathSchema,
})

const RootSchema = z.strictObject({
  fileSystem: z.enum(ROOT_FILE_SYSTEMS),
  /** Options of mount(8); the image's own init mounts it again as its fstab says. */
  options: z
    .string()
    .regex(/^[\w=.,:@-]+$/)
    .default('ro'),
  init: PlainPathSchema.default('/sbin/init'),
})

const CloudInitSchema = z.strictObject({
  /** Broker resource: a seed, JSON as `VmSeedSchema` of `vm-seed`. Only an attested guest reads it, so keys may stand in it. */
  seed: ResourcePathSchema,
})

/** What an owner may leave open in an image: who has the host's console logs in, memory goes to a disk in clear. */
export const VM_OPENINGS = ['console-login', 'swap'] as const
export type VmOpening = (typeof VM_OPENINGS)[number]

const VmSchema = z.strictObject({
  disk: z.discriminatedUnion('kind', [PlainDiskSchema, SealedDiskSchema]),
  root: RootSchema,
  /** Mount points of the image's fstab whose file systems this boot does not have: an empty one stands there. */
  absentMounts: z.array(PlainPathSchema).max(32).default([]),
  /** Present when the image has cloud-init: then it is told what the seed says and listens to nobody else. */
  cloudInit: CloudInitSchema.optional(),
  /** What its owner left open by name; a VM with any is at most `degraded`. Absent: nothing. */
  allowed: z.array(z.enum(VM_OPENINGS)).min(1).max(VM_OPENINGS.length).optional(),
  /** Resources that programs of the VM may read at 127.0.0.1:8006/cdh/resource/. */
  resources: z.array(ResourcePathSchema).max(128).default([]),
})

export const VmWorkloadSchema = z.strictObject({
  version: z.literal(1),
  name: OwnNameSchema,
  /** Rises with each registration of this name at the broker; containers and VMs share the names. */
  revision: z.int().min(1),
  /** How many instances the broker lets live at once. Absent: any number. */
  instances: InstancesSchema.optional(),
  broker: WorkloadBrokerSchema,
  vm: VmSchema,
  network: z
    .strictObject({
      /** Names of mux targets that the agent may open. The VM's own network is a device of its own. */
      targets: z.array(MuxTargetSchema).default(['broker']),
      /** TCP ports that `connect` may join. */
      ports: z.array(GuestPortSchema).default([]),
    })
    .prefault({}),
})

/** A VM's workload; every default is filled in after parsing. */
export type VmWorkload = z.infer<typeof VmWorkloadSchema>
/** A VM's workload before defaults. */
export type VmWorkloadInput = z.input<typeof VmWorkloadSchema>

/** What an owner may register: a container or a VM, told apart by the member `vm`. */
export type AnyWorkload = Workload | VmWorkload

export function isVmWorkload(workload: AnyWorkload): workload is VmWorkload {
  return 'vm' in workload
}
