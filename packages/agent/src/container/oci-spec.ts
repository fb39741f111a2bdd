/**
 * The OCI runtime specification of the container, from the image's configuration and the workload. Nothing of it comes from the host.
 * The container has its own mount, process, IPC, UTS and cgroup namespaces, and the guest's network: the guest is its machine.
 */
import type { ImageConfig } from '@cloister/oci/manifest'
import type { Workload } from '@cloister/protocol/workload'
import { containerCommand } from './container-command.ts'
import { SECCOMP_ANNOTATIONS, SECCOMP_PROFILE } from './seccomp.ts'
import type { ContainerUser } from './user.ts'

export interface SpecInput {
  readonly workload: Workload
  readonly image: ImageConfig
  readonly user: ContainerUser
  /** Absolute path of the image's root file system in the guest. */
  readonly rootfs: string
  /** Values of secrets that go to the environment, as `NAME=value`. */
  readonly secretEnv: readonly string[]
  /** Files of the guest that are bound into the container, read-only. */
  readonly files: readonly BoundFile[]
}

export interface BoundFile {
  /** In the guest. */
  readonly source: string
  /** In the container. */
  readonly destination: string
}

export interface OciProcess {
  readonly terminal: false
  readonly user: {
    readonly uid: number
    readonly gid: number
    readonly additionalGids: readonly number[]
  }
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly capabilities: Readonly<Record<string, readonly string[]>>
  readonly rlimits: readonly {
    readonly type: string
    readonly hard: number
    readonly soft: number
  }[]
  readonly noNewPrivileges: true
}

export interface OciSpec {
  readonly process: OciProcess
  readonly [member: string]: unknown
}

/** As Docker grants them, without raw sockets and device nodes. */
const CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  // It gives each line out once, and the agent looks for tampering there.
  '/proc/kmsg',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/class/virtio-ports',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/selinux',
  '/sys/kernel/config',
  '/sys/kernel/debug',
  '/sys/kernel/security',
] as const
const READONLY_PATHS = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
] as const
/** Fewer than a guest's memory can hold, more than any server uses. */
const PIDS_LIMIT = 4096
const OPEN_FILES = 65536

/** @throws CloisterError `agent.command-missing` */
export function containerSpec(input: SpecInput): OciSpec {
  const { workload, rootfs, files } = input
  return {
    ociVersion: '1.0.2',
    process: containerProcess(input),
    root: { path: rootfs, readonly: workload.container.readonlyRootfs },
    hostname: workload.name,
    annotations: SECCOMP_ANNOTATIONS,
    mounts: [...mounts(), ...writablePlaces(input), ...files.map(fileMount)],
    linux: {
      cgroupsPath: `/cloister/${workload.container.id}`,
      namespaces: ['mount', 'pid', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        pids: { limit: PIDS_LIMIT },
      },
      seccomp: SECCOMP_PROFILE,
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  }
}

function containerProcess({ workload, image, user, secretEnv }: SpecInput): OciProcess {
  const { container } = workload
  const config = image.config ?? {}
  return {
    terminal: false,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: containerCommand(container, config),
    env: environment([
      DEFAULT_PATH,
      `HOME=${user.home}`,
      `HOSTNAME=${workload.name}`,
      ...(config.Env ?? []),
      ...container.env,
      ...secretEnv,
    ]),
    cwd: absolute(container.cwd ?? config.WorkingDir ?? '/'),
    capabilities: capabilitiesFor(user),
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: OPEN_FILES, soft: OPEN_FILES }],
    noNewPrivileges: true,
  }
}

/** The last value of a name wins, at the place of the first. */
function environment(lines: readonly string[]): string[] {
  const byName = new Map<string, string>()
  for (const line of lines) {
    const equals = line.indexOf('=')
    if (equals > 0) byName.set(line.slice(0, equals), line)
  }
  return [...byName.values()]
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}

function capabilitiesFor(user: ContainerUser): OciProcess['capabilities'] {
  // A user that is not root gets none effective, and can get them back from no file: noNewPrivileges.
  const held = user.uid === 0 ? CAPABILITIES : []
  return { bounding: CAPABILITIES, effective: held, permitted: held, inheritable: [], ambient: [] }
}

function mounts(): object[] {
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    tmpfs('/dev', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    tmpfs('/dev/shm', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k']),
    {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    },
    {
      destination: '/sys',
      type: 'sysfs',
      source: 'sysfs',
      options: ['nosuid', 'noexec', 'nodev', 'ro'],
    },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
    },
  ]
}

/** On a read-only root the image's volumes and /tmp are in memory; else they are directories of the root, on scratch. */
function writablePlaces({ workload, image }: SpecInput): object[] {
  if (!workload.container.readonlyRootfs) return []
  const volumes = Object.keys(image.config?.Volumes ?? {}).filter((path) => path.startsWith('/'))
  return [...new Set(['/tmp', ...volumes])].map((path) =>
    tmpfs(path, ['nosuid', 'nodev', 'mode=1777']),
  )
}

function tmpfs(destination: string, options: readonly string[]): object {
  return { destination, type: 'tmpfs', source: 'tmpfs', options }
}

function fileMount({ source, destination }: BoundFile): object {
  return {
    destination,
    type: 'bind',
    source,
    options: ['bind', 'ro', 'nosuid', 'nodev', 'noexec'],
  }
}
