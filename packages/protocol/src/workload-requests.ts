/**
 * The requests by which a host starts what a workload names. The host sends these and the agent's built-in policy
 * compares with them: whatever differs in any field was not asked for by the owner.
 */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  CreateContainerRequestSchema,
  CreateSandboxRequestSchema,
} from './agent-service_pb.ts'
import type { Workload } from './workload.ts'

export function sandboxRequest(
  workload: Workload,
): MessageInitShape<typeof CreateSandboxRequestSchema> {
  return { sandboxId: workload.container.id, hostname: workload.name }
}

/**
 * What the workload leaves to the image (arguments, working directory, user) is empty here: only the agent, which
 * has the image, can fill it in. `Process.Args` is entry point and arguments as far as the workload names them.
 */
export function containerRequest(
  workload: Workload,
): MessageInitShape<typeof CreateContainerRequestSchema> {
  const { container, image } = workload
  return {
    containerId: container.id,
    execId: container.id,
    storages: [{ driver: 'image_guest_pull', source: image.reference, fstype: 'overlay' }],
    OCI: {
      Version: '1.1.0',
      Process: {
        Args: [...(container.entrypoint ?? []), ...(container.args ?? [])],
        Env: container.env,
        Cwd: container.cwd ?? '',
        User: { Username: container.user ?? '' },
        NoNewPrivileges: true,
      },
      Root: { Readonly: container.readonlyRootfs },
      Hostname: workload.name,
      Annotations: { 'io.kubernetes.cri.image-name': image.reference },
    },
  }
}
