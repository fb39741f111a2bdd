/** What a container starts, from the workload and its image. The owner's side asks the same before anything is registered. */
import { CloisterError } from '@cloister/protocol/error'
import type { ImageConfig } from '@cloister/oci/manifest'
import type { Workload } from '@cloister/protocol/workload'

/**
 * Arguments of the workload replace the image's Cmd; an entry point of the workload replaces both.
 *
 * @throws CloisterError `agent.command-missing`
 */
export function containerCommand(
  container: Pick<Workload['container'], 'entrypoint' | 'args'>,
  config: NonNullable<ImageConfig['config']>,
): string[] {
  const entrypoint = container.entrypoint ?? config.Entrypoint ?? []
  const args = container.args ?? (container.entrypoint === undefined ? (config.Cmd ?? []) : [])
  const command = [...entrypoint, ...args]
  if (command.length === 0 || command[0] === '') throw new CloisterError('agent.command-missing')
  return command
}
