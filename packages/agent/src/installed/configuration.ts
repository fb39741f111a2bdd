/** `/etc/cloister/agent.json`: what the owner of a VM tells the agent that they installed. Without it the agent only answers the host. */
import { readFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import {
  GuestPortSchema,
  ResourcePathSchema,
  WorkloadBrokerSchema,
} from '@cloister/protocol/workload'
import { z } from 'zod'

export const CONFIGURATION_FILE = '/etc/cloister/agent.json'

export const ConfigurationSchema = z.strictObject({
  version: z.literal(1),
  /** Where to attest, and the keys that the broker may have. Absent: nowhere. */
  broker: WorkloadBrokerSchema.optional(),
  /** Resources that every program of this VM may read at 127.0.0.1:8006/cdh/resource/. */
  resources: z.array(ResourcePathSchema).max(128).default([]),
  /** TCP ports of this VM that `cloister connect` may join, over TLS that ends here. */
  ports: z.array(GuestPortSchema).max(64).default([]),
})
export type Configuration = z.infer<typeof ConfigurationSchema>

const NOTHING: Configuration = { version: 1, resources: [], ports: [] }

/** @throws CloisterError `agent.configuration-malformed` */
export async function readConfiguration(file: string = CONFIGURATION_FILE): Promise<Configuration> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING
    throw new CloisterError('agent.configuration-malformed', { where: file, cause })
  }
  try {
    return ConfigurationSchema.parse(JSON.parse(text))
  } catch (cause) {
    const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined
    throw new CloisterError('agent.configuration-malformed', {
      where: issue === undefined ? file : `${file}: ${issue.path.join('.')}`,
      why: issue?.message ?? 'it is not JSON',
      cause,
    })
  }
}
