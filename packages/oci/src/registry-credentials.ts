/** User and password for one registry out of a Docker configuration (`{"auths":{…}}`); credential helpers are not supported. */
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { repositoryName, type ImageReference } from './reference.ts'

export interface Credentials {
  readonly user: string
  readonly password: string
}

const DockerConfigSchema = z.object({
  auths: z.record(z.string(), z.object({ auth: z.string().optional() })).default({}),
})

const DOCKER_HUB = new Set(['docker.io', 'registry-1.docker.io', 'index.docker.io'])

/**
 * Looks for the repository, each of its parents, then the host; absent: none is for it. Throws `request.malformed` without
 * quoting the text.
 */
export function credentialsFor(
  dockerConfigJson: string,
  reference: ImageReference,
): Credentials | undefined {
  const { auths } = parseDockerConfig(dockerConfigJson)
  const byName = new Map(
    Object.entries(auths).map(([key, { auth }]) => [normalizedKey(key), auth] as const),
  )
  let name = normalizedKey(repositoryName(reference))
  for (;;) {
    const auth = byName.get(name)
    if (auth !== undefined) return decodeAuth(auth)
    const slash = name.lastIndexOf('/')
    if (slash < 0) return undefined
    name = name.slice(0, slash)
  }
}

/** `https://index.docker.io/v1/`, `host:5000` and `host/team` as host and path, Docker Hub under one name. */
function normalizedKey(key: string): string {
  const withoutScheme = key.replace(/^https?:\/\//, '').replace(/\/+$/, '')
  const [host = '', ...path] = withoutScheme.split('/')
  const isVersionPath = path.length === 1 && /^v[12]$/.test(path[0]!)
  const name = DOCKER_HUB.has(host) ? 'docker.io' : host
  return [name, ...(isVersionPath ? [] : path)].join('/')
}

function parseDockerConfig(json: string): z.infer<typeof DockerConfigSchema> {
  try {
    return DockerConfigSchema.parse(JSON.parse(json))
  } catch {
    // The cause would quote the secret.
    throw malformed()
  }
}

function decodeAuth(auth: string): Credentials {
  const text = Buffer.from(auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon <= 0) throw malformed()
  return { user: text.slice(0, colon), password: text.slice(colon + 1).replace(/[\r\n\0]+$/, '') }
}

function malformed(): CloisterError {
  return new CloisterError('request.malformed', {
    where: 'registry credentials',
    why: 'they are not a Docker configuration with auths',
  })
}
