/**
 * Guests without a machine, for tests: VMs whose agent is in this process and speaks the real protocols over real unix sockets. They outlive
 * the hostd that started them, as QEMU does.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { create, type DescMessage, type Message, type MessageInitShape } from '@bufbuild/protobuf'
import type {
  StageRecord,
  Vm,
  VmExit,
  VmExitReason,
  VmSpec,
  VmState,
} from '@cloister/launcher/vm-spec'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import { Guest } from '@cloister/protocol/guest_pb'
import { MuxConnection } from '@cloister/protocol/mux/connection'
import { MUX_FRAMING } from '@cloister/protocol/mux/frame'
import { servePortSessions } from '@cloister/protocol/port-session'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { serveTtrpc } from '@cloister/protocol/ttrpc/server'
import { STATUS, TtrpcError } from '@cloister/protocol/ttrpc/status'
import type { Backend } from '../src/backend.ts'
import { STAGE_DEADLINES, type StageDeadlines } from '../src/boot-watch.ts'
import type { MachineParts } from '../src/machines/machine-parts.ts'
import { fakeParts } from './fake-parts.ts'

/** Answers or refuses one request by the method's name; absent: the default answer. */
export type Behaviour = Readonly<
  Record<string, (guest: FakeGuest, request: Message, signal: AbortSignal) => unknown>
>

export interface FakeMachineOptions {
  readonly behaviour?: Behaviour
  /** Stages that a guest tells as it is started. Default: all up to `ready`. */
  readonly stages?: readonly StageName[]
  readonly deadlines?: Partial<StageDeadlines>
  /** Takes the agent's port instead of a working agent. */
  readonly agentPort?: (socket: Socket) => void
  /** Takes the port of streams instead of a working guest. */
  readonly netPort?: (socket: Socket) => void
  /** Called before a VM is taken over. */
  readonly beforeAdopt?: (state: VmState) => Promise<void> | void
  /** Called before a VM starts. */
  readonly beforeStart?: (spec: VmSpec) => Promise<void> | void
  /** Whether an agent opens sessions in a machine that boots its own disk. Default: it does. */
  readonly hasAgent?: boolean
  /** Whether a guest obeys the power button. Default: it does. */
  readonly obeys?: boolean
  readonly parts?: Partial<MachineParts>
}

const BOOT = Object.keys(STAGES).filter((name) => STAGES[name as StageName] <= STAGES.ready)

export class FakeMachine {
  readonly guests = new Map<string, FakeGuest>()
  readonly options: FakeMachineOptions
  cleared: string[] = []
  /** Of the host; another one stands for a restart of it. */
  bootId = 'boot'

  constructor(options: FakeMachineOptions = {}) {
    this.options = options
  }

  get only(): FakeGuest {
    const [guest] = this.guests.values()
    if (guest === undefined) throw new Error('no guest was started')
    return guest
  }

  backend(): Backend {
    return {
      startVm: async (spec) => {
        await this.options.beforeStart?.(spec)
        const guest = await FakeGuest.start(spec, this.options)
        this.guests.set(spec.id, guest)
        return guest.vm()
      },
      adoptVm: async (state) => {
        await this.options.beforeAdopt?.(state)
        const guest = this.guests.get(state.id)
        return guest === undefined || guest.isGone ? undefined : guest.vm()
      },
      howVmEnded: async ({ id }) => this.guests.get(id)?.heard,
      discardVm: async (state) => this.guests.get(state.id)?.end('killed'),
      clearLeftovers: async (_folders, keep) => {
        const lost = [...this.guests.values()].filter(
          ({ spec, isGone }) => !isGone && !keep.has(spec.id),
        )
        for (const guest of lost) await guest.end('killed')
        this.cleared = lost.map(({ spec }) => spec.id)
        return this.cleared
      },
      loadGuestImage: async (name) => ({
        directory: '/',
        manifest: {
          name,
          imageVersion: 7,
          commandLines: { hardware: 'h', simulated: 's', probe: 'p', debug: 'd' },
        } as never,
        paths: { kernel: '/k', initrd: '/i', root: '/r' },
      }),
      checkPorts: async () => undefined,
      hostBootId: async () => this.bootId,
      machines: { ...fakeParts(), ...this.options.parts },
      deadlines: { ...STAGE_DEADLINES, ...this.options.deadlines },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.guests.values()) await guest.end('killed')
  }
}

export class FakeGuest {
  readonly spec: VmSpec
  readonly calls: { readonly name: string; readonly request: Message }[] = []
  readonly stages: StageRecord[] = []
  readonly output = { stdout: '', stderr: '' }
  /** What was typed on the console. */
  typed = ''
  mux: MuxConnection | undefined
  isGone = false
  /** What QEMU has told of its end, whoever listened. */
  heard: Pick<VmExit, 'reason' | 'at'> | undefined
  readonly #options: FakeMachineOptions
  readonly #sockets = new Set<Socket>()
  readonly #servers: Server[] = []
  readonly #listeners = new Set<(stage: StageRecord) => void>()
  readonly #gone = Promise.withResolvers<VmExit>()
  readonly #containerExit = Promise.withResolvers<number>()
  readonly #containers = new Set<string>()
  readonly #consoles = new Set<Socket>()
  readonly #vtpmListeners = new Set<() => void>()
  readonly #diskListeners = new Set<() => void>()
  #isVtpmLost = false
  readonly #disk = { isFull: false }
  /** How often it was let go on. */
  resumes = 0
  #hasSandbox = false
  #hasContainerEnded = false

  private constructor(spec: VmSpec, options: FakeMachineOptions) {
    this.spec = spec
    this.#options = options
  }

  static async start(spec: VmSpec, options: FakeMachineOptions): Promise<FakeGuest> {
    const guest = new FakeGuest(spec, options)
    await mkdir(spec.runtimeDirectory, { recursive: true })
    const agentPort = options.agentPort ?? ((socket) => guest.#serveAgent(socket))
    await guest.#listen('agent.sock', agentPort)
    const isSilent = spec.machine !== undefined && options.hasAgent === false
    await guest.#listen(
      'net.sock',
      options.netPort ?? ((socket) => (isSilent ? socket.resume() : guest.#serveNet(socket))),
    )
    if (spec.machine !== undefined) {
      await guest.#listen('console.sock', (socket) => guest.#serveConsole(socket))
      return guest
    }
    setImmediate(() => {
      for (const stage of options.stages ?? (BOOT as StageName[])) guest.reach(stage)
    })
    return guest
  }

  /** Lets the container end. */
  exit(code: number): void {
    this.#hasContainerEnded = true
    this.#containerExit.resolve(code)
  }

  reach(name: StageName): void {
    const stage = { name, uptimeMs: STAGES[name] * 10, at: new Date() }
    this.stages.push(stage)
    for (const listener of this.#listeners) listener(stage)
  }

  /** Writes on the serial console. */
  print(bytes: string | Uint8Array): void {
    for (const socket of this.#consoles) socket.write(bytes)
  }

  get hasConsole(): boolean {
    return this.#consoles.size > 0
  }

  loseVtpm(): void {
    this.#isVtpmLost = true
    for (const listener of this.#vtpmListeners) listener()
  }

  /** Stands still, as when a write finds no space. */
  findNoSpace(): void {
    this.#disk.isFull = true
    for (const listener of this.#diskListeners) listener()
  }

  /** Ends the VM. */
  async end(reason: VmExitReason, more: Partial<VmExit> = {}): Promise<void> {
    if (this.isGone) return
    this.isGone = true
    if (reason.startsWith('guest-')) this.heard = { reason, at: new Date() }
    this.dropConnections()
    await Promise.all(
      this.#servers.map((server) => new Promise((resolve) => server.close(resolve))),
    )
    await rm(this.spec.runtimeDirectory, { recursive: true, force: true })
    this.#gone.resolve({ reason, at: new Date(), ...more })
  }

  /** As when the host's side of the ports breaks. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  count(name: string): number {
    return this.calls.filter((call) => call.name === name).length
  }

  vm(): Vm {
    const { runtimeDirectory, stateDirectory, id, tee, mode } = this.spec
    const disk = this.#disk
    const state: VmState = {
      version: 1,
      id,
      process: { pid: 1, startTime: '1' },
      bootId: 'boot',
      tee,
      mode,
      accelerator: 'tcg',
      runtimeDirectory,
      stateDirectory,
      startedAt: new Date().toISOString(),
    }
    return {
      state,
      sockets: {
        agent: join(runtimeDirectory, 'agent.sock'),
        net: join(runtimeDirectory, 'net.sock'),
        console: join(runtimeDirectory, 'console.sock'),
      },
      stages: this.stages,
      exited: this.#gone.promise,
      onStage: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      stop: async ({ force = false, timeoutMs = 10_000 } = {}) => {
        if (this.spec.machine === undefined || force) await this.end('stop-killed')
        else if (disk.isFull) await this.end('stopped', { stoodStill: true })
        else if (this.#options.obeys !== false) await this.end('stopped')
        else setTimeout(() => void this.end('stopped'), timeoutMs).unref()
        return this.#gone.promise
      },
      readSerial: async () => (this.spec.mode === 'debug' ? 'the guest’s console\n' : ''),
      vtpm: this.#isVtpmLost ? 'lost' : this.spec.machine?.vtpm === undefined ? 'none' : 'running',
      onVtpmLost: (listener) => {
        this.#vtpmListeners.add(listener)
        return () => this.#vtpmListeners.delete(listener)
      },
      get isDiskFull() {
        return disk.isFull
      },
      onDiskFull: (listener) => {
        this.#diskListeners.add(listener)
        return () => this.#diskListeners.delete(listener)
      },
      resume: async () => {
        this.resumes++
        disk.isFull = false
      },
      dumpMemory: async (file) => {
        await writeFile(file, 'ram')
        return { ranges: [{ start: 1n << 40n, bytes: 3, isReadable: true, isBlank: false }] }
      },
      release: async () => this.#listeners.clear(),
      [Symbol.asyncDispose]: () => this.end('stop-killed'),
    }
  }

  async #listen(name: string, serve: (socket: Socket) => void): Promise<void> {
    const server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => this.#sockets.delete(socket))
      serve(socket)
    })
    this.#servers.push(server)
    await new Promise<void>((resolve) =>
      server.listen(join(this.spec.runtimeDirectory, name), resolve),
    )
  }

  #serveAgent(socket: Duplex): void {
    servePortSessions(socket, TTRPC_FRAMING, (channel) =>
      serveTtrpc(channel, {
        services: [AgentService, Guest],
        handler: async ({ method, request, signal }) => {
          this.calls.push({ name: method.name, request })
          const answer = this.#options.behaviour?.[method.name] ?? this.#default(method.name)
          const value = await answer(this, request, signal)
          const init = (value ?? {}) as MessageInitShape<DescMessage>
          return create(method.output, init)
        },
      }),
    )
  }

  #default(name: string): (guest: FakeGuest, request: Message) => unknown {
    const answers: Record<string, (request: Message) => unknown> = {
      CreateSandbox: () => {
        if (this.#hasSandbox) throw new TtrpcError(STATUS.alreadyExists, 'agent.id-reused')
        this.#hasSandbox = true
      },
      CreateContainer: (request) => {
        const { containerId } = request as unknown as { containerId: string }
        if (this.#containers.has(containerId))
          throw new TtrpcError(STATUS.alreadyExists, 'agent.id-reused')
        this.#containers.add(containerId)
      },
      StartContainer: () => this.reach('started'),
      SignalProcess: () => this.exit(143),
      WaitProcess: async () => ({ status: await this.#containerExit.promise }),
      ReadStdout: () => this.#read('stdout'),
      ReadStderr: () => this.#read('stderr'),
      GetStatus: () => ({ stage: this.stages.at(-1)?.name ?? '', attestations: 1, token: 'ear' }),
      GetEvidence: (request) => ({
        tee: 'snp',
        evidenceJson: Buffer.from(
          JSON.stringify({ nonce: (request as unknown as { nonce: Uint8Array }).nonce.length }),
        ),
        agentKey: Buffer.from('agent'),
        channelKey: Buffer.from('channel'),
        initdata: Buffer.from('initdata'),
      }),
    }
    const answer = answers[name]
    if (answer === undefined) throw new TtrpcError(STATUS.unimplemented, 'request.malformed')
    return (_guest, request) => answer(request)
  }

  async #read(stream: 'stdout' | 'stderr'): Promise<{ data: Uint8Array }> {
    while (this.output[stream] === '' && !this.#hasContainerEnded && !this.isGone)
      await new Promise((resolve) => setTimeout(resolve, 5))
    const data = Buffer.from(this.output[stream])
    this.output[stream] = ''
    return { data }
  }

  #serveConsole(socket: Socket): void {
    this.#consoles.add(socket)
    socket.on('close', () => this.#consoles.delete(socket))
    socket.on('data', (bytes) => (this.typed += bytes.toString('utf8')))
  }

  #serveNet(socket: Duplex): void {
    servePortSessions(socket, MUX_FRAMING, (channel) => {
      this.mux = new MuxConnection(channel, {
        side: 'guest',
        accepts: (target) => target === 'channel',
        // Gives back what it gets.
        onStream: (stream) => {
          stream.on('error', () => undefined)
          stream.pipe(stream)
        },
      })
    })
  }
}
