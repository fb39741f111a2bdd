/**
 * The built-in policy: start what the initdata names, exactly as it names it, once; beyond that only what `hostPolicy` opens. It compares with
 * the very requests that an honest host builds from the same workload, so a field that differs anywhere was not the owner's wish.
 */
import { create, equals, type DescMessage, type Message } from '@bufbuild/protobuf'
import {
  CreateContainerRequestSchema,
  CreateSandboxRequestSchema,
  type CloseStdinRequest,
  type CreateContainerRequest,
  type CreateSandboxRequest,
  type ExecProcessRequest,
  type ReadStreamRequest,
  type RemoveContainerRequest,
  type SignalProcessRequest,
  type StartContainerRequest,
  type WaitProcessRequest,
  type WriteStreamRequest,
} from '@cloister/protocol/agent-service_pb'
import type { Workload } from '@cloister/protocol/workload'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'
import type { AgentPolicy, PolicyDecision, PolicyRequest, PolicyState } from './agent-policy.ts'

type Rule = (state: PolicyState, message: Message) => PolicyDecision

const ID = /^[a-z0-9][a-z0-9_.-]{0,62}$/
/** SIGTERM and SIGKILL. */
const STOP_SIGNALS = new Set([15, 9])
/** Programs that run beside the container's own: each costs memory of the guest. */
const MAX_EXECS = 256

export function workloadPolicy(workload: Workload): AgentPolicy {
  const rules = rulesFor(workload)
  return {
    decide(state, { method, message }: PolicyRequest) {
      const { name } = method
      const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
      return rule === undefined ? deny(`${name} is not allowed`) : rule(state, message)
    },
  }
}

function rulesFor(workload: Workload): Readonly<Record<string, Rule>> {
  const { hostPolicy } = workload
  const sandbox = create(CreateSandboxRequestSchema, sandboxRequest(workload))
  const container = create(CreateContainerRequestSchema, containerRequest(workload))
  return {
    Check: () => allow(),
    Version: () => allow(),
    GetEvidence: () => allow(),
    GetStatus: () => allow(),
    CreateSandbox: (state, message) =>
      createSandbox(state, message as CreateSandboxRequest, sandbox),
    DestroySandbox: () => allow(),
    CreateContainer: (state, message) =>
      createContainer(state, message as CreateContainerRequest, container),
    StartContainer: (state, message) => startContainer(state, message as StartContainerRequest),
    RemoveContainer: (state, message) => removeContainer(state, message as RemoveContainerRequest),
    WaitProcess: (state, message) => ofProcess(state, message as WaitProcessRequest),
    ReadStdout: (state, message) =>
      hostPolicy.readStdout
        ? ofProcess(state, message as ReadStreamRequest)
        : deny('hostPolicy.readStdout is off'),
    ReadStderr: (state, message) =>
      hostPolicy.readStderr
        ? ofProcess(state, message as ReadStreamRequest)
        : deny('hostPolicy.readStderr is off'),
    SignalProcess: (state, message) => signal(state, message as SignalProcessRequest, hostPolicy),
    WriteStdin: (state, message) =>
      hostPolicy.writeStdin
        ? ofProcess(state, message as WriteStreamRequest)
        : deny('hostPolicy.writeStdin is off'),
    CloseStdin: (state, message) =>
      hostPolicy.writeStdin
        ? ofProcess(state, message as CloseStdinRequest)
        : deny('hostPolicy.writeStdin is off'),
    ExecProcess: (state, message) =>
      hostPolicy.exec ? exec(state, message as ExecProcessRequest) : deny('hostPolicy.exec is off'),
  }
}

function createSandbox(
  state: PolicyState,
  message: CreateSandboxRequest,
  expected: CreateSandboxRequest,
): PolicyDecision {
  const difference = differenceIn(CreateSandboxRequestSchema, message, expected)
  if (difference !== undefined) return deny(difference)
  if (state.sandboxId !== undefined) return refuse('agent.id-reused', 'there is a sandbox')
  return { allow: true, statePatch: { sandboxId: message.sandboxId } }
}

function createContainer(
  state: PolicyState,
  message: CreateContainerRequest,
  expected: CreateContainerRequest,
): PolicyDecision {
  const difference = differenceIn(CreateContainerRequestSchema, message, expected)
  if (difference !== undefined) return deny(difference)
  if (state.sandboxId === undefined) return refuse('agent.out-of-order', 'there is no sandbox')
  const id = message.containerId
  if (state.usedIds.includes(id)) return refuse('agent.id-reused', `the id ${id} was used`)
  return {
    allow: true,
    statePatch: {
      usedIds: [...state.usedIds, id],
      containers: { ...state.containers, [id]: 'created' },
    },
  }
}

function startContainer(
  state: PolicyState,
  { containerId }: StartContainerRequest,
): PolicyDecision {
  const known = stateOf(state, containerId)
  if (known === undefined) return unknownContainer(containerId)
  if (known !== 'created') return refuse('agent.id-reused', `${containerId} was started`)
  return {
    allow: true,
    statePatch: { containers: { ...state.containers, [containerId]: 'started' } },
  }
}

function removeContainer(
  state: PolicyState,
  { containerId }: RemoveContainerRequest,
): PolicyDecision {
  const known = stateOf(state, containerId)
  if (known === undefined || known === 'removed') return unknownContainer(containerId)
  return {
    allow: true,
    statePatch: { containers: { ...state.containers, [containerId]: 'removed' } },
  }
}

function exec(state: PolicyState, message: ExecProcessRequest): PolicyDecision {
  const { containerId, execId, stringUser, process } = message
  if (stateOf(state, containerId) !== 'started') return unknownContainer(containerId)
  if (stringUser !== undefined || process?.Terminal === true || process?.User !== undefined)
    return deny('ExecProcessRequest: another user or a terminal')
  if (process === undefined || process.Args.length === 0) return deny('ExecProcessRequest: no Args')
  if (!ID.test(execId)) return deny('ExecProcessRequest.exec_id: not an id')
  if (state.usedIds.includes(execId)) return refuse('agent.id-reused', `the id ${execId} was used`)
  if (state.usedIds.length > MAX_EXECS) return deny('too many processes')
  return { allow: true, statePatch: { usedIds: [...state.usedIds, execId] } }
}

/** Signals of Linux; zero asks whether the process is there. */
function signal(
  state: PolicyState,
  message: SignalProcessRequest,
  hostPolicy: Workload['hostPolicy'],
): PolicyDecision {
  const isOfStop = hostPolicy.signal && STOP_SIGNALS.has(message.signal)
  if (!isOfStop && !hostPolicy.signals.includes(message.signal))
    return deny(`hostPolicy does not open signal ${message.signal}`)
  return ofProcess(state, message)
}

/** Any request about a process of a container that was started. An empty exec id means its first process. */
function ofProcess(
  state: PolicyState,
  { containerId, execId }: { readonly containerId: string; readonly execId: string },
): PolicyDecision {
  if (stateOf(state, containerId) !== 'started') return unknownContainer(containerId)
  return execId === '' || state.usedIds.includes(execId)
    ? allow()
    : refuse('agent.container-unknown', 'no such process')
}

function stateOf(state: PolicyState, id: string): PolicyState['containers'][string] | undefined {
  return Object.hasOwn(state.containers, id) ? state.containers[id] : undefined
}

/** Path of a field in which a request differs from what the workload means; the whole message when no single field is found. */
function differenceIn(
  schema: DescMessage,
  received: Message,
  expected: Message,
): string | undefined {
  if (equals(schema, received, expected)) return undefined
  const fields = schema.fields.filter(({ localName }) => {
    const pick = (message: Message) =>
      JSON.stringify((message as unknown as Record<string, unknown>)[localName], withBigInts)
    return pick(received) !== pick(expected)
  })
  const names = fields.map(({ name }) => name).join(', ')
  return `${schema.name}: ${names === '' ? 'a field' : names} not as in the initdata`
}

function withBigInts(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

function allow(): PolicyDecision {
  return { allow: true }
}

function deny(reason: string): PolicyDecision {
  return { allow: false, reasons: [reason] }
}

function refuse(
  code: NonNullable<(PolicyDecision & { allow: false })['code']>,
  reason: string,
): PolicyDecision {
  return { allow: false, reasons: [reason], code }
}

function unknownContainer(id: string): PolicyDecision {
  return refuse('agent.container-unknown', `no container ${id.slice(0, 64)}`)
}
