/**
 * Goes once through what each guest does, with a made-up workload and without a machine, while the agent's snapshot is made: V8 compiles a
 * function when it is first called, and what is compiled is kept. Of the results nothing is.
 */
import { create, fromBinary, toBinary, type DescMessage } from '@bufbuild/protobuf'
import { parseImageConfig, parseManifest } from '@cloister/oci/manifest'
import { parseReference } from '@cloister/oci/reference'
import { AgentService, EmptySchema } from '@cloister/protocol/agent-service_pb'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
} from '@cloister/protocol/initdata'
import type { Workload, WorkloadInput } from '@cloister/protocol/workload'
import { containerRequest, sandboxRequest } from '@cloister/protocol/workload-requests'
import { containerSpec } from './container/oci-spec.ts'
import { bindInitdata } from './initdata-binding.ts'
import type { AgentPolicy } from './policy/agent-policy.ts'
import { dispatch } from './service/dispatch.ts'

const DIGEST = `sha256:${'00'.repeat(32)}`
const WORKLOAD: WorkloadInput = {
  version: 1,
  name: 'rehearsal',
  revision: 1,
  broker: { url: 'https://broker', spki: ['00'.repeat(32)] },
  image: {
    reference: `registry/image@${DIGEST}`,
    digest: DIGEST,
    registry: { target: 'registry', plainHttp: true },
  },
  container: { id: 'rehearsal', env: ['NAME=value'], args: ['command'] },
  network: { targets: ['broker', 'registry'], ports: [] },
}
const LAYER = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: DIGEST, size: 1 }

/** Waits for nothing but promises: a timer or a handle that is left could not be kept. */
export async function rehearse(): Promise<void> {
  const { workload, policy } = await rehearseInitdata()
  rehearseContainer(workload)
  await rehearseRequests(workload, policy)
}

async function rehearseInitdata() {
  const document = encodeInitdata(initdataOf(WORKLOAD))
  const hostData = initdataDigest(document)
  const bound = await bindInitdata(encodeInitdataDisk(document), {
    tee: 'snp',
    attest: async () => ({ hostData, json: '{}' }),
  })
  return { workload: bound.workload as Workload, policy: bound.policy }
}

function rehearseContainer(workload: Workload): void {
  parseReference(workload.image.reference)
  const { layers } = parseManifest(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { ...LAYER, mediaType: 'application/vnd.oci.image.config.v1+json' },
        layers: [LAYER],
      }),
    ),
  )
  const image = parseImageConfig(
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        config: { Env: ['PATH=/bin'], Cmd: ['command'] },
        rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
      }),
    ),
  )
  const spec = containerSpec({
    workload,
    image,
    user: { uid: 0, gid: 0, additionalGids: [], home: '/' },
    rootfs: '/rootfs',
    secretEnv: [],
    files: [{ source: '/file', destination: '/file' }],
  })
  JSON.stringify(spec)
}

async function rehearseRequests(workload: Workload, policy: AgentPolicy): Promise<void> {
  const { createSandbox, createContainer, startContainer } = AgentService.method
  const done = async () => create(EmptySchema)
  const handle = dispatch({
    policy,
    methods: { CreateSandbox: done, CreateContainer: done, StartContainer: done },
    log: () => undefined,
  })
  const { signal } = new AbortController()
  const requests = [
    [createSandbox, create(createSandbox.input, sandboxRequest(workload))],
    [createContainer, create(createContainer.input, containerRequest(workload))],
    [startContainer, create(startContainer.input, { containerId: workload.container.id })],
  ] as const
  for (const [method, message] of requests) {
    const request = fromBinary(method.input, toBinary(method.input, message))
    toBinary<DescMessage>(method.output, await handle({ method, request, signal }))
  }
}
