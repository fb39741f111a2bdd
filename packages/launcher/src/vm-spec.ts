/**
 * What a VM is started from, what is kept of it, and what can be done with it: the types between launcher and hostd.
 * `start-vm.ts` starts one, `adopt-vm.ts` finds it again after a restart of hostd, `leftovers.ts` clears what nobody owns.
 */
import type { AttesterMode, StageName } from '@cloister/protocol/guest-names'

/** TEE drivers by name. `simulated` protects nothing: it plays SNP for laptops, CI and tests. */
export const TEE_IDS = ['snp', 'tdx', 'sev-es', 'sev', 'se', 'simulated'] as const
export type TeeId = (typeof TEE_IDS)[number]

export type Accelerator = 'kvm' | 'tcg'

export interface AcceleratorChoice {
  readonly accelerator: Accelerator
  /** Why not KVM; absent with KVM. */
  readonly reason?: string
}

/** Absolute paths of the files that boot the guest, as `guest-image-manifest` names them. */
export interface BootFiles {
  readonly kernel: string
  readonly initrd: string
  /** EROFS and verity hash tree. Absent: no root disk (the probe guest). */
  readonly root?: string
  /** Kernel, initrd and command line as one EFI program, which TDX guests boot instead of the three. Absent: not for TDX. */
  readonly unifiedKernel?: string
  /** The confidential firmware. Needed by the hardware drivers, and by `simulated` for the launch digest. */
  readonly firmware?: string
}

/**
 * UEFI firmware that boots the system disk, for VMs without a TEE and for `sev` and `sev-es`: see `machine/firmware.ts`. Nothing of ours
 * is in such a guest.
 */
export interface FirmwareBoot {
  /** Absolute path of the firmware's code; shared by all VMs, read-only. */
  readonly code: string
  /** Absolute path of the VM's own variable store, which the guest writes. */
  readonly variables: string
  /** The code enforces Secure Boot: only SMM may write the variables. Not for a TEE without SMM. */
  readonly secureBoot: boolean
}

/**
 * What `cloister vm` adds to a guest: a disk of its owner's, and what Shielded VM gives. Its files are the caller's and outlive the run;
 * while it runs nobody else may write them.
 */
export interface MachineHardware {
  /** virtio-blk with serial `cloister-system`, writable; freed blocks go back to the file. As `machine/disk-image.ts` made it. */
  readonly systemDisk: { readonly path: string; readonly format: 'raw' | 'qcow2' }
  /** NoCloud image of `machine/seed.ts`, raw, read-only, serial `cloister-seed`. Absent: none. */
  readonly seedDisk?: { readonly path: string }
  /** As `machine/vtpm.ts` made it. swtpm starts before QEMU and ends with it. Absent: no TPM. */
  readonly vtpm?: VtpmFiles
  readonly network: MachineNetwork
  /** Whether ttyS0 is served on `console.sock`. Nobody reads: what the guest writes is lost. */
  readonly hasConsole: boolean
}

export interface VtpmFiles {
  /** Absolute path of the folder with the TPM's encrypted state. */
  readonly stateDirectory: string
  /** Absolute path of the file with the key of that state: 64 hex digits, readable by its owner alone. */
  readonly key: string
}

/**
 * `user`: addresses are translated; the guest reaches the network, also services on the host's 127.0.0.1 by 10.0.2.2, and is reached by
 * published ports alone. `bridge`: a network card of its own on a bridge of the host, which needs root; published ports must be empty.
 */
export type MachineNetwork =
  | { readonly kind: 'user' }
  | {
      readonly kind: 'bridge'
      /** Name of an existing bridge. */
      readonly bridge: string
      /** Six bytes as hex with colons, unicast. */
      readonly mac: string
    }

/** One TCP port of the host that leads to one of the guest, in clear. */
export interface PublishedPort {
  /** IPv4 address of the host to listen on. Absent: 127.0.0.1. */
  readonly hostAddress?: string
  readonly host: number
  readonly guest: number
}

export interface VmSpec {
  /** Short and unique on this host: 1 to 20 of `a-z 0-9 -`. */
  readonly id: string
  /** For sockets, on a short path (sun_path is 108 bytes). Made by the start, must not exist, removed with the VM. */
  readonly runtimeDirectory: string
  /** For disks and the launch context. Made by the start, must not exist, removed with the VM. */
  readonly stateDirectory: string
  /** `none`: an ordinary VM; it needs {@link FirmwareBoot}. */
  readonly tee: TeeId | 'none'
  /** `hardware` for every {@link FirmwareBoot}, which has no command line that could name it. */
  readonly mode: AttesterMode
  readonly boot: BootFiles | FirmwareBoot
  /** Absent: a container's guest. {@link FirmwareBoot} needs one. */
  readonly machine?: MachineHardware
  /** The exact `-append` text, from the manifest. Empty for {@link FirmwareBoot}. */
  readonly commandLine: string
  readonly cpus: number
  readonly memoryMiB: number
  /** Size of the sparse scratch disk. Zero: none. */
  readonly scratchMiB: number
  /** The 32 bytes of HOST_DATA: SHA-256 of the initdata unless a test lies. Without a TEE nobody sees them. */
  readonly hostData: Uint8Array
  /** The initdata in its disk form. Absent: no such disk. */
  readonly initdataDisk?: Uint8Array
  readonly ports: readonly PublishedPort[]
  /** QEMU name of the vCPU type that is measured. Absent: {@link DEFAULT_VCPU_TYPE}. */
  readonly vcpuType?: string
  /** Guest policy of SNP, SEV-ES or SEV. Absent: the driver's default, without debugging and migration. */
  readonly guestPolicy?: bigint
  /** SNP only: the firmware refuses to start anything else than this block says. Absent: no such gate. */
  readonly idBlock?: IdBlockPair
  /** SEV and SEV-ES only: the owner's session with the firmware. Absent: the owner takes no part in the launch. */
  readonly sevSession?: SevSession
}

/** A launch by the guest owner (AMD 55766, LAUNCH_START and LAUNCH_SECRET). */
export interface SevSession {
  /** The owner's Diffie-Hellman certificate, base64. */
  readonly certificate: string
  /** The session blob, base64. */
  readonly session: string
  /**
   * Called with what the firmware measured while the guest stands still. What it returns is injected; absent: nothing is. To refuse the launch it
   * throws.
   */
  releaseSecret(launch: SevLaunch): Promise<SevSecret | undefined>
}

/** What a firmware of SEV says of a launch. */
export interface SevLaunch {
  /** Base64 of 32 bytes of measure and 16 of nonce. */
  readonly measurement: string
  /** Of the firmware, which the measure is made over too. */
  readonly api: { readonly major: number; readonly minor: number; readonly build: number }
}

/** A secret that only the firmware can open; base64, each. */
export interface SevSecret {
  readonly header: string
  readonly secret: string
  /** Guest-physical address. Absent: where the firmware's table says. */
  readonly address?: bigint
}

/** As `snp/id-block` of the verifier encodes them. */
export interface IdBlockPair {
  /** 96 bytes. */
  readonly block: Uint8Array
  /** 4096 bytes. */
  readonly authentication: Uint8Array
  /** Whether `authentication` holds an author key. */
  readonly hasAuthorKey: boolean
}

/** The oldest of the measured types: runs on every SNP processor. */
export const DEFAULT_VCPU_TYPE = 'EPYC-v4'

export type VmDirectories = Pick<VmSpec, 'runtimeDirectory' | 'stateDirectory'>

/** The pid alone is reused by the kernel; with the start time (clock ticks since boot, field 22 of stat) it is not. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startTime: string
}

/** All that {@link adoptVm} needs to find a VM again: plain JSON, kept by hostd. */
export interface VmState {
  readonly version: 1
  readonly id: string
  readonly process: ProcessIdentity
  /** `/proc/sys/kernel/random/boot_id` at the start: pids of another boot mean nothing. */
  readonly bootId: string
  readonly tee: TeeId | 'none'
  readonly mode: AttesterMode
  readonly accelerator: Accelerator
  readonly runtimeDirectory: string
  readonly stateDirectory: string
  readonly startedAt: string
  /** The latest stage seen. Absent: none yet. */
  readonly lastStage?: StageName
  /** The swtpm of a VM with a vTPM. */
  readonly vtpm?: ProcessIdentity
  /** QEMU has a file open into which it writes memory. Absent: `dumpMemory()` is not offered. */
  readonly hasMemoryDump?: boolean
}

/** Absolute paths of the sockets that QEMU serves; each takes one client at a time. */
export interface VmSockets {
  readonly agent: string
  readonly net: string
  /** Raw bytes to and from ttyS0; there only if the machine has a console. */
  readonly console: string
}

/** A boot stage as the guest told it; nothing in it is to be trusted. */
export interface StageRecord {
  readonly name: StageName
  /** The guest's uptime, as it says. */
  readonly uptimeMs: number
  /** When the host read it. */
  readonly at: Date
}

/** Why a VM ended. */
export type VmExitReason =
  /** The guest powered itself off. */
  | 'guest-shutdown'
  /** The guest's kernel panicked. A container's guest resets the machine only then. */
  | 'guest-panic'
  /** The guest of a machine with a TEE asked for a restart: its memory cannot be measured again in place, so it is to be started anew. */
  | 'guest-reset'
  /** `stop()` asked for it and the guest or QEMU obeyed. */
  | 'stopped'
  /** `stop()` had to kill it. */
  | 'stop-killed'
  /** QEMU ended by a signal that was not ours. */
  | 'killed'
  /** QEMU failed by itself. */
  | 'qemu-failed'
  /** It ended while nobody watched. */
  | 'unknown'

export interface VmExit {
  readonly reason: VmExitReason
  readonly at: Date
  readonly lastStage?: StageName
  /** The code that the guest gave as it gave up (`! <code>`); hostile text, `[a-z0-9.-]`, at most 64. */
  readonly guestCode?: string
  readonly exitCode?: number
  readonly signal?: string
  /** End of what QEMU said on stderr, when it failed. */
  readonly qemuSaid?: string
  /** Why the VM's directories could not be removed. */
  readonly leftBehind?: string
  /** Its swtpm had ended before QEMU did. Absent: it had not, or there was none. */
  readonly hasLostVtpm?: true
  /** It stood still for want of space on the host, and had no chance to shut down. Absent: it did not. */
  readonly stoodStill?: true
}

/** A part of the guest's RAM, by guest-physical address. */
export interface MemoryRange {
  readonly start: bigint
  readonly bytes: number
  /** Whether QEMU gave it. */
  readonly isReadable: boolean
  /** Whether every byte read was zero: unused, or private memory that the host sees as zeros. */
  readonly isBlank: boolean
}

export interface MemoryDump {
  /** Ascending. They follow each other in the file without gaps; what was not readable is a hole. */
  readonly ranges: readonly MemoryRange[]
}

export interface StopOptions {
  /** Absent: 10 s between the ACPI power button and the kill. */
  readonly timeoutMs?: number
  /** Kills at once. Absent: no. */
  readonly force?: boolean
}

/** A running VM. Disposing of it kills it and removes its files. */
export interface Vm extends AsyncDisposable {
  /** As it is now: `lastStage` grows. */
  readonly state: VmState
  readonly sockets: VmSockets
  /** Stages so far, in order; after adoption those since then. */
  readonly stages: readonly StageRecord[]
  /** Settles once and never rejects, after QEMU is gone and its files and sockets are removed. */
  readonly exited: Promise<VmExit>
  /** Calls for each new stage. Returns how to stop listening. */
  onStage(listener: (stage: StageRecord) => void): () => void
  stop(options?: StopOptions): Promise<VmExit>
  /** The bounded serial log. Empty unless the mode is `debug`. */
  readSerial(): Promise<string>
  /** `lost`: its swtpm has ended, and the guest's TPM answers no more. */
  readonly vtpm: 'none' | 'running' | 'lost'
  /** Calls once, when the vTPM is lost while the VM runs. Returns how to stop listening. */
  onVtpmLost(listener: () => void): () => void
  /** Whether the guest stands still because the host has no space for a write to its system disk. */
  readonly isDiskFull: boolean
  /** Calls each time the guest comes to stand still so. Returns how to stop listening. */
  onDiskFull(listener: () => void): () => void
  /** Lets a guest go on that stands still so; where there is still no space, it stands still again. @throws CloisterError `qemu.*` */
  resume(): Promise<void>
  /**
   * Guest RAM as the host can read it. The guest runs on meanwhile.
   *
   * @param file - absolute; made here with mode 0600, sparse; must not exist
   * @throws CloisterError `vm.dump-unsupported` without {@link MachineHardware}, `host.disk-full`, `qemu.*`; nothing is left then
   */
  dumpMemory(file: string, signal?: AbortSignal): Promise<MemoryDump>
  /**
   * Lets go of it and leaves it running, for a restart of hostd. A simulated processor stops serving until adoption, and `exited` never
   * settles then.
   */
  release(): Promise<void>
}
