/** A hostd over a fake machine, its client, and a workload to start. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { directories } from '@cloister/protocol/directories'
import type { StartRequestInput, WorkloadView } from '@cloister/protocol/hostd-api'
import type { DefineVmRequestInput, VmView } from '@cloister/protocol/hostd-vm-api'
import { encodeInitdata, initdataOf } from '@cloister/protocol/initdata'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { HostdClient } from '../src/client.ts'
import { startDaemon, type Daemon } from '../src/daemon.ts'
import type { FakeMachine } from './fake-machine.ts'
import { makeImage } from './fake-parts.ts'

export const IMAGE_DIGEST = `sha256:${'ab'.repeat(32)}`

export function workloadDocument(changes: Partial<WorkloadInput> = {}): WorkloadInput {
  return {
    version: 1,
    name: 'web',
    revision: 1,
    broker: { url: 'https://broker.test:8443', spki: ['00'.repeat(32)] },
    image: {
      reference: `localhost/web@${IMAGE_DIGEST}`,
      digest: IMAGE_DIGEST,
      registry: { target: 'registry' },
    },
    container: { id: 'web', args: ['serve'], env: ['A=b'] },
    hostPolicy: { readStdout: true, readStderr: true },
    network: { targets: ['broker'], ports: [80] },
    ...changes,
  }
}

export function initdataBytes(changes: Partial<WorkloadInput> = {}): Uint8Array {
  return encodeInitdata(initdataOf(workloadDocument(changes)))
}

export function startRequest(changes: Partial<StartRequestInput> = {}): StartRequestInput {
  return {
    name: 'web',
    initdata: Buffer.from(initdataBytes()).toString('base64'),
    tee: 'simulated',
    memoryMiB: 256,
    scratchMiB: 64,
    targets: { broker: { tcp: '127.0.0.1:1' } },
    ...changes,
  }
}

export interface Fixture extends AsyncDisposable {
  readonly home: string
  readonly client: HostdClient
  readonly said: string[]
  daemon: Daemon
  /** Ends hostd. */
  halt(): Promise<void>
  /** Ends hostd and starts another one over the same home. */
  restart(): Promise<void>
  until(name: string, isReached: (view: WorkloadView) => boolean): Promise<WorkloadView>
  untilVm(name: string, isReached: (view: VmView) => boolean): Promise<VmView>
}

/** A definition of a machine; its image is a small file in the fixture's home. */
export async function defineRequest(
  hostd: Pick<Fixture, 'home'>,
  changes: Partial<DefineVmRequestInput> = {},
): Promise<DefineVmRequestInput> {
  return {
    name: 'box',
    image: { path: await makeImage(hostd.home), name: 'image.raw' },
    tee: 'none',
    cpus: 1,
    memoryMiB: 256,
    ...changes,
  }
}

export async function gathered<Value>(source: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = []
  for await (const value of source) values.push(value)
  return values
}

export async function startFixture(machine: FakeMachine, place = tmpdir()): Promise<Fixture> {
  const home = await mkdtemp(join(place, 'cl-'))
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'r') })
  const said: string[] = []
  const start = () =>
    startDaemon({ directories: places, backend: machine.backend(), log: (line) => said.push(line) })
  const daemon = await start()
  const client = new HostdClient(daemon.socketPath)
  const fixture: Fixture = {
    home,
    client,
    said,
    daemon,
    halt: async () => fixture.daemon[Symbol.asyncDispose](),
    async restart() {
      await fixture.halt()
      fixture.daemon = await start()
    },
    async until(name, isReached) {
      for await (const event of client.events({
        workload: name,
        signal: AbortSignal.timeout(10_000),
      }))
        if (event.type === 'workload' && isReached(event.workload)) return event.workload
      throw new Error('the events ended')
    },
    async untilVm(name, isReached) {
      const signal = AbortSignal.timeout(10_000)
      for await (const event of client.events({ vm: name, signal }))
        if (event.type === 'vm' && isReached(event.vm)) return event.vm
      throw new Error('the events ended')
    },
    async [Symbol.asyncDispose]() {
      const force = { force: true, timeoutMs: 0 }
      await Promise.all(fixture.daemon.workloads.list().map((workload) => workload.stop(force)))
      await Promise.all(fixture.daemon.machines.list().map((machine) => machine.stop(force)))
      await fixture.daemon[Symbol.asyncDispose]()
      await rm(home, { recursive: true, force: true })
    },
  }
  return fixture
}
