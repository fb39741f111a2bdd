/** The work behind Kata's agent service and health service, after the policy has allowed it. */
import { create, type Message } from '@bufbuild/protobuf'
import {
  EmptySchema,
  HealthCheckResponseSchema,
  ReadStreamResponseSchema,
  VersionCheckResponseSchema,
  WaitProcessResponseSchema,
  WriteStreamResponseSchema,
  type CloseStdinRequest,
  type ExecProcessRequest,
  type ReadStreamRequest,
  type SignalProcessRequest,
  type WaitProcessRequest,
  type WriteStreamRequest,
} from '@cloister/protocol/agent-service_pb'
import type { Container } from '../container/container.ts'
import { AGENT_VERSION } from '../version.ts'
import type { Methods } from './dispatch.ts'

export interface AgentServiceOptions {
  readonly container: Container
  /** The host wants the sandbox gone: the VM ends. */
  readonly onDestroy: () => void
}

const SERVING = 1
/** As Kata's agent says. */
const GRPC_VERSION = '0.0.1'

/** What every guest answers, a VM too. */
export function healthMethods(): Methods {
  return {
    Check: async () => create(HealthCheckResponseSchema, { status: SERVING }),
    Version: async () =>
      create(VersionCheckResponseSchema, {
        grpcVersion: GRPC_VERSION,
        agentVersion: AGENT_VERSION,
      }),
  }
}

export function agentMethods({ container, onDestroy }: AgentServiceOptions): Methods {
  const done = create(EmptySchema)
  return {
    ...healthMethods(),
    CreateSandbox: async () => done,
    DestroySandbox: async () => {
      onDestroy()
      return done
    },
    CreateContainer: async () => {
      await container.create()
      return done
    },
    StartContainer: async () => {
      await container.start()
      return done
    },
    RemoveContainer: async () => {
      await container.remove()
      return done
    },
    WaitProcess: async (message: Message, signal) => {
      const { execId } = message as WaitProcessRequest
      return create(WaitProcessResponseSchema, { status: await container.wait(execId, signal) })
    },
    SignalProcess: async (message: Message) => {
      const { execId, signal } = message as SignalProcessRequest
      await container.signal(execId, signal)
      return done
    },
    ExecProcess: async (message: Message) => {
      const { execId, process } = message as ExecProcessRequest
      await container.exec(execId, process?.Args ?? [], {
        env: process?.Env ?? [],
        cwd: process?.Cwd ?? '',
      })
      return done
    },
    ReadStdout: (message, signal) =>
      read(container, message as ReadStreamRequest, 'stdout', signal),
    ReadStderr: (message, signal) =>
      read(container, message as ReadStreamRequest, 'stderr', signal),
    WriteStdin: async (message: Message) => {
      const { execId, data } = message as WriteStreamRequest
      return create(WriteStreamResponseSchema, { len: await container.write(execId, data) })
    },
    CloseStdin: async (message: Message) => {
      container.closeStdin((message as CloseStdinRequest).execId)
      return done
    },
  }
}

async function read(
  container: Container,
  { execId, len }: ReadStreamRequest,
  output: 'stdout' | 'stderr',
  signal: AbortSignal,
): Promise<Message> {
  const data = await container.read(execId, output, len, signal)
  return create(ReadStreamResponseSchema, { data })
}
