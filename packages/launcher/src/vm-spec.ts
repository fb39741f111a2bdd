/**
 * What a VM is started from, what is kept of it, and what can be done with it: the types between launcher and hostd.
 * `start-vm.ts` starts one, `adopt-vm.ts` finds it again after a restart of hostd, `leftovers.ts` clears what nobody owns.
 */
import type { AttesterMode, StageName } from '@cloister/protocol/guest-names'

/** TEE drivers by name. `simulated` protects nothing: it plays SNP for laptops, CI and tests. */
export const TEE_IDS = ['snp', 'tdx', 'sev-es', 'sev', 'se', 'simulated'] as const
export type TeeId = (typeof TEE_IDS)[number]

export type Accelerator = 'kvm' | 'tcg'

/** Absolute paths of the files that boot the guest, as `guest-image-manifest` names them. */
export interface BootFiles {
  readonly kernel: string
  readonly initrd: string
  /** EROFS and verity hash tree. Absent: no root disk (the probe guest). */
  readonly root?: string
  /** The confidential firmware. Needed by the hardware drivers, and by `simulated` for the launch digest. */
  readonly firmware?: string
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
  readonly tee: TeeId
  readonly mode: AttesterMode
  readonly boot: BootFiles
  /** The exact `-append` text, from the manifest. */
  readonly commandLine: string
  readonly cpus: number
  readonly memoryMiB: number
  /** Size of the sparse scratch disk. Zero: none. */
  readonly scratchMiB: number
  /** The 32 bytes of HOST_DATA: SHA-256 of the initdata unless a test lies. */
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
   * Called with the launch measurement (base64 of 32 bytes of measure and 16 of nonce) while the guest stands still. What it returns is
   * injected; absent: nothing is. To refuse the launch it throws.
   */
  releaseSecret(measurement: string): Promise<SevSecret | undefined>
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
  readonly tee: TeeId
  readonly mode: AttesterMode
  readonly accelerator: Accelerator
  readonly runtimeDirectory: string
  readonly stateDirectory: string
  readonly startedAt: string
  /** The latest stage seen. Absent: none yet. */
  readonly lastStage?: StageName
}

/** Absolute paths of the sockets that QEMU serves; each takes one client at a time. */
export interface VmSockets {
  readonly agent: string
  readonly net: string
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
  /** The guest's kernel reset the machine; our guests do that only when they panic. */
  | 'guest-panic'
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
  /**
   * Lets go of it and leaves it running, for a restart of hostd. A simulated processor stops serving until adoption, and `exited` never
   * settles then.
   */
  release(): Promise<void>
}
