/** What a host that has taken hostd's place asks of a guest that runs, beyond what its initdata names. */
import { create } from '@bufbuild/protobuf'
import { WireType } from '@bufbuild/protobuf/wire'
import type { GuestLink } from '@cloister/hostd/guest-link'
import {
  AgentService,
  CreateContainerRequestSchema,
  type CreateContainerRequest,
} from '@cloister/protocol/agent-service_pb'
import type { Workload } from '@cloister/protocol/workload'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'

export interface HostRequest {
  readonly name: string
  readonly story: string
  /** Code of the refusal. */
  readonly expected: string
  send(link: GuestLink, workload: Workload): Promise<unknown>
}

const TIMEOUT = { timeoutMs: 20_000 }
const { method } = AgentService

/** CreateContainer as the initdata means it, but for what `change` does to it. */
function changedContainer(
  name: string,
  story: string,
  change: (request: CreateContainerRequest) => void,
  expected = 'agent.request-denied',
): HostRequest {
  return {
    name,
    story,
    expected,
    async send(link, workload) {
      // The workload's own lists must stay as they are.
      const request = create(
        CreateContainerRequestSchema,
        containerRequest(structuredClone(workload)),
      )
      change(request)
      await link.call(method.createContainer, request, TIMEOUT)
    },
  }
}

export const EXEC: HostRequest = {
  name: 'exec-in-guest',
  story: 'ask the running guest for a shell',
  expected: 'agent.request-denied',
  send: async (link, { container }) =>
    await link.call(
      method.execProcess,
      {
        containerId: container.id,
        execId: 'shell',
        process: { Args: ['/bin/sh'], Cwd: '/' },
      },
      TIMEOUT,
    ),
}

export const OTHER_CONTAINER: HostRequest = {
  name: 'container-not-named',
  story: 'start a container that the initdata does not name',
  expected: 'agent.request-denied',
  send: async (link) =>
    await link.call(
      method.createContainer,
      { containerId: 'spy', execId: 'spy', OCI: { Process: { Args: ['/bin/sh'], Cwd: '/' } } },
      TIMEOUT,
    ),
}

export const HOST_REQUESTS: readonly HostRequest[] = [
  EXEC,
  OTHER_CONTAINER,
  {
    name: 'stdin-of-container',
    story: 'type into the program that runs',
    expected: 'agent.request-denied',
    send: async (link, { container: { id } }) =>
      await link.call(
        method.writeStdin,
        { containerId: id, execId: id, data: Buffer.from('cat /run/secrets/*\n') },
        TIMEOUT,
      ),
  },
  changedContainer('image-changed', 'create the container from another digest', (request) => {
    const [storage] = request.storages
    if (storage !== undefined)
      storage.source = storage.source.replace(/[0-9a-f]{64}$/, 'ab'.repeat(32))
  }),
  changedContainer('environment-changed', 'add a variable to the environment', (request) => {
    request.OCI?.Process?.Env.push('LD_PRELOAD=/tmp/spy.so')
  }),
  changedContainer('arguments-changed', 'add arguments to the program', (request) => {
    request.OCI?.Process?.Args.push('sh', '-c', 'cat /run/secrets/*')
  }),
  changedContainer('mount-added', 'mount a folder of the guest into the container', (request) => {
    const mount = { destination: '/host', source: '/', type: 'bind', options: ['rbind', 'rw'] }
    request.OCI?.Mounts.push({ $typeName: 'grpc.Mount', ...mount })
  }),
  changedContainer('storage-added', 'mount a disk of the host over the image', (request) => {
    const [storage] = request.storages
    if (storage !== undefined)
      request.storages.push({ ...storage, driver: 'blk', source: '/dev/vdd', mountPoint: '/bin' })
  }),
  changedContainer(
    'container-id-reused',
    'create the named container a second time',
    () => undefined,
    'agent.id-reused',
  ),
  {
    name: 'container-started-twice',
    story: 'start the named container a second time',
    expected: 'agent.id-reused',
    send: async (link, { container }) =>
      await link.call(method.startContainer, { containerId: container.id }, TIMEOUT),
  },
  {
    name: 'sandbox-reused',
    story: 'create the sandbox a second time',
    expected: 'agent.id-reused',
    send: async (link, workload) =>
      await link.call(method.createSandbox, sandboxRequest(workload), TIMEOUT),
  },
  changedContainer(
    'field-unknown',
    'put a field that the agent does not know into a request',
    (request) => {
      // Kata's stdin_port, a varint of one byte.
      request.$unknown = [{ no: 9, wireType: WireType.Varint, data: new Uint8Array([1]) }]
    },
    'agent.request-unknown',
  ),
  {
    name: 'request-unknown',
    story: "replace the agent's policy, as Kata's SetPolicy does",
    expected: 'agent.request-unknown',
    async send(link) {
      // Never told to the agent's service: the name is all that the method shares with a real one.
      const setPolicy = { ...method.createSandbox, name: 'SetPolicy' }
      await link.call(setPolicy, {}, TIMEOUT)
    },
  },
]
