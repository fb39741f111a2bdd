/**
 * Fixed names by which the guest finds what the host gives it. A second of one name stops the boot.
 * Ports are virtio-serial ports (`/sys/class/virtio-ports/vportNpM/name`); disks are virtio-blk serials (at most 20 bytes).
 */
export const GUEST_PORTS = {
  /** Guest to host, text lines: numbered boot stages. See {@link STAGES}. */
  stage: 'cloister.stage',
  /** ttrpc in sessions: hostd is the client, the agent the server. */
  agent: 'cloister.agent',
  /** Multiplexed byte streams, opened by either side to a named target. */
  net: 'cloister.net',
  /** Simulated mode only: report requests to the simulated secure processor. */
  tee: 'cloister.tee',
} as const

export const GUEST_DISKS = {
  root: 'cloister-root',
  initdata: 'cloister-initdata',
  scratch: 'cloister-scratch',
} as const

/** Files of the root file system: the agent, the thread in which it unpacks layers, and what they use. */
export const GUEST_PROGRAMS = {
  directory: 'usr/lib/cloister',
  /** Node's arguments to run the agent, on one line. */
  arguments: 'agent.arguments',
  /** V8's heap with the agent loaded. */
  snapshot: 'agent.snapshot',
  /** The agent as a module, in an image that was built with another one than ours. */
  agent: 'agent.mjs',
  unpackWorker: 'unpack-worker.mjs',
  /** A new file system; see `scratch-template.ts`. */
  scratchTemplate: 'scratch.template',
} as const

/** Disks of a machine of `cloister vm`, beside those of a measured boot. */
export const MACHINE_DISKS = {
  system: 'cloister-system',
  seed: 'cloister-seed',
} as const

/** What a guest is for, named on the measured command line as `cloister.guest=`; absent there: a container. */
export const GUEST_KINDS = ['container', 'vm'] as const
export type GuestKind = (typeof GUEST_KINDS)[number]

/** How the guest proves itself; named on the measured command line as `cloister.mode=`. */
export const ATTESTER_MODES = ['hardware', 'simulated', 'probe', 'debug'] as const
export type AttesterMode = (typeof ATTESTER_MODES)[number]

/**
 * Boot stages in order. The initrd and the agent write `<number> <name> <uptime in ms>\n` to the stage port; a failure
 * that ends the VM is the line `! <error code>\n` (a code only: the host is not told more).
 */
export const STAGES = {
  initrd: 10,
  modules: 20,
  verity: 30,
  root: 40,
  agent: 50,
  initdata: 60,
  attest: 70,
  attested: 80,
  /** Of a VM: its disk's keys are there, then the content of a new disk is taken over, by quarters. */
  keys: 84,
  install: 85,
  'install-25': 86,
  'install-50': 87,
  'install-75': 88,
  pull: 90,
  unpacked: 100,
  ready: 110,
  started: 120,
  exited: 130,
} as const
export type StageName = keyof typeof STAGES
