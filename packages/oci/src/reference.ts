/**
 * Image references as Docker, skopeo and cosign read them (distribution/reference grammar): `[host[:port]/]path[:tag][@digest]`, with
 * `docker.io` and `library/` filled in. `parseImageSource` adds the two local transports `oci:` and `oci-archive:`.
 */
import { CloisterError } from '@cloister/protocol/error'
import { isDigest } from './digest.ts'

/** A registry reference; at least one of `tag` and `digest` is there after parsing (`latest` when neither was written). */
export interface ImageReference {
  /** Host with the port when one was written; `docker.io` for Docker Hub. */
  readonly registry: string
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
}

export type ImageLocation =
  | { readonly kind: 'registry'; readonly reference: ImageReference }
  | { readonly kind: 'oci'; readonly directory: string; readonly tag?: string }
  | { readonly kind: 'oci-archive'; readonly file: string; readonly tag?: string }

const HOST =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
/** The distribution grammar bounds a repository name to 255 characters. */
const NAME_LIMIT = 255

export function parseReference(text: string): ImageReference {
  const [named, digest] = splitDigestSuffix(text)
  const [name, tag] = splitTagSuffix(named)
  const { registry, repository } = splitHost(name)
  const components = repository.split('/')
  if (
    !HOST.test(registry) ||
    repository.length > NAME_LIMIT ||
    !components.every((component) => PATH_COMPONENT.test(component))
  )
    throw malformed(text)
  if (tag !== undefined && !TAG.test(tag)) throw malformed(text)
  if (digest !== undefined && !isDigest(digest)) throw malformed(text)
  const effectiveTag = tag ?? (digest === undefined ? 'latest' : undefined)
  return {
    registry,
    repository,
    ...(effectiveTag !== undefined && { tag: effectiveTag }),
    ...(digest !== undefined && { digest }),
  }
}

/** `host/repository[:tag][@digest]`, the form that `parseReference` reads back to the same value. */
export function formatReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${repositoryName(reference)}${tag}${digest}`
}

/** `host/repository`, what cosign signs as docker-reference. */
export function repositoryName(reference: ImageReference): string {
  return `${reference.registry}/${reference.repository}`
}

/** What the user wrote as IMAGE: a registry reference, `oci:DIR[:TAG]` or `oci-archive:FILE[:TAG]`. */
export function parseImageSource(text: string): ImageLocation {
  const local = /^(oci|oci-archive):(.+?)(?::([^:/]*))?$/s.exec(text)
  if (local === null) return { kind: 'registry', reference: parseReference(text) }
  const [, kind, path, tag] = local
  if (path === undefined || path.includes('\0') || (tag !== undefined && !TAG.test(tag)))
    throw malformed(text)
  const suffix = tag === undefined ? {} : { tag }
  return kind === 'oci'
    ? { kind: 'oci', directory: path, ...suffix }
    : { kind: 'oci-archive', file: path, ...suffix }
}

function splitDigestSuffix(text: string): [string, string | undefined] {
  const at = text.indexOf('@')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function splitTagSuffix(text: string): [string, string | undefined] {
  const colon = text.lastIndexOf(':')
  // A colon before a slash belongs to the port.
  return colon < 0 || text.includes('/', colon)
    ? [text, undefined]
    : [text.slice(0, colon), text.slice(colon + 1)]
}

function splitHost(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  const registry = isHost ? first : 'docker.io'
  const path = isHost ? name.slice(slash + 1) : name
  if (registry !== 'docker.io' && registry !== 'index.docker.io')
    return { registry, repository: path }
  return { registry: 'docker.io', repository: path.includes('/') ? path : `library/${path}` }
}

function malformed(text: string): CloisterError {
  return new CloisterError('image.reference-malformed', {
    why: `"${text.slice(0, 200)}" is not an image reference`,
  })
}
