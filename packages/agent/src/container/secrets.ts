/** Puts released secrets where the workload wants them: files on tmpfs for the container's user alone, or variables. */
import { chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { Workload } from '@cloister/protocol/workload'
import type { BoundFile } from './oci-spec.ts'
import type { ContainerUser } from './user.ts'

export interface PlacedSecrets {
  readonly files: readonly BoundFile[]
  /** `NAME=value`. */
  readonly env: readonly string[]
}

/** A secret of the workload with its released value. */
export interface ReleasedSecret {
  readonly secret: Workload['container']['secrets'][number]
  readonly value: Uint8Array
}

/** Asks the broker for all of them; one refusal refuses all. */
export function releaseSecrets(
  secrets: Workload['container']['secrets'],
  getResource: (path: string) => Promise<Uint8Array>,
): Promise<ReleasedSecret[]> {
  return Promise.all(
    secrets.map(async (secret) => ({ secret, value: await getResource(secret.resource) })),
  )
}

/**
 * @param directory - on tmpfs; made when absent
 * @throws CloisterError `agent.resource-malformed` for a variable's value with NUL or not in UTF-8
 */
export async function placeSecrets(
  released: readonly ReleasedSecret[],
  user: Pick<ContainerUser, 'uid' | 'gid'>,
  directory: string,
): Promise<PlacedSecrets> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  const files: BoundFile[] = []
  const env: string[] = []
  for (const [index, { secret, value }] of released.entries()) {
    if (secret.env !== undefined) env.push(`${secret.env}=${variable(value, secret.resource)}`)
    if (secret.file === undefined) continue
    const source = join(directory, String(index))
    await writeFile(source, value, { mode: 0o400, flag: 'wx' })
    await chown(source, user.uid, user.gid)
    files.push({ source, destination: secret.file })
  }
  return { files, env }
}

function variable(value: Uint8Array, where: string): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(value)
    if (!text.includes('\0')) return text
  } catch {
    // Falls through to the same refusal.
  }
  throw new CloisterError('agent.resource-malformed', {
    where,
    why: 'a variable holds UTF-8 without NUL; give the secret a file instead',
  })
}
