/**
 * containers-policy.json(5): which images may run, by name and signature. Parsing and look-up; `verify-signatures.ts` evaluates.
 * Stricter than the reference where that fails open: an empty list of requirements, an unknown type and an unknown member are refused.
 */
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { repositoryName, type ImageReference } from './reference.ts'

const SignedIdentitySchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('matchExact') }),
  z.strictObject({ type: z.literal('matchRepoDigestOrExact') }),
  z.strictObject({ type: z.literal('matchRepository') }),
  z.strictObject({ type: z.literal('exactReference'), dockerReference: z.string() }),
  z.strictObject({ type: z.literal('exactRepository'), dockerRepository: z.string() }),
  z.strictObject({
    type: z.literal('remapIdentity'),
    prefix: z.string(),
    signedPrefix: z.string(),
  }),
])
export type SignedIdentity = z.infer<typeof SignedIdentitySchema>

const SigstoreSignedSchema = z
  .strictObject({
    type: z.literal('sigstoreSigned'),
    /** Read through `readKey`. */
    keyPath: z.string().optional(),
    keyPaths: z.array(z.string()).min(1).optional(),
    /** Base64 of a PEM public key; a bare PEM is taken as well. */
    keyData: z.string().optional(),
    keyDatas: z.array(z.string()).min(1).optional(),
    /** Absent: `matchRepoDigestOrExact`, as containers/image has it. */
    signedIdentity: SignedIdentitySchema.default({ type: 'matchRepoDigestOrExact' }),
  })
  .refine(
    ({ keyPath, keyPaths, keyData, keyDatas }) =>
      [keyPath, keyPaths, keyData, keyDatas].filter((source) => source !== undefined).length === 1,
    'exactly one of keyPath, keyPaths, keyData and keyDatas',
  )
export type SigstoreSigned = z.infer<typeof SigstoreSignedSchema>

const RequirementSchema = z.union([
  z.strictObject({ type: z.literal('insecureAcceptAnything') }),
  z.strictObject({ type: z.literal('reject') }),
  SigstoreSignedSchema,
])
export type PolicyRequirement = z.infer<typeof RequirementSchema>

const RequirementsSchema = z.array(RequirementSchema).min(1)

const PolicySchema = z.strictObject({
  default: RequirementsSchema,
  /** Transport to scope to requirements. Only `docker` concerns images that are pulled. */
  transports: z.record(z.string(), z.record(z.string(), RequirementsSchema)).optional(),
})
export type SignaturePolicy = z.infer<typeof PolicySchema>

/** Throws `image.policy-malformed`, also for what is valid and not supported: GPG (`signedBy`), Fulcio, Rekor, PKI. */
export function parseSignaturePolicy(value: unknown): SignaturePolicy {
  const result = PolicySchema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new CloisterError('image.policy-malformed', {
    where: issue?.path.join('.').slice(0, 200) || 'policy',
    why: issue?.message ?? 'it does not have the documented shape',
  })
}

/** The requirements of the most specific scope that the policy has for the image. All of them must hold. */
export function requirementsFor(
  policy: SignaturePolicy,
  reference: ImageReference,
): readonly PolicyRequirement[] {
  const scopes = policy.transports?.['docker'] ?? {}
  for (const scope of policyScopes(reference))
    if (Object.hasOwn(scopes, scope)) return scopes[scope]!
  return policy.default
}

/** Full reference, repository, its parents, the host, wildcards of the host, the transport; most specific first. */
function* policyScopes(reference: ImageReference): Generator<string> {
  const name = repositoryName(reference)
  yield* pinnedNames(reference)
  let scope = name
  for (let slash = name.length; slash > 0; slash = scope.lastIndexOf('/')) {
    scope = scope.slice(0, slash)
    yield scope
  }
  let host = reference.registry.replace(/:\d+$/, '')
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.')) {
    host = host.slice(dot + 1)
    yield `*.${host}`
  }
  yield ''
}

/** Whether a signature made for `signed` (its docker-reference) holds for the image, as containers/image decides. */
export function matchesIdentity(
  identity: SignedIdentity,
  image: ImageReference,
  signed: SignedReference,
): boolean {
  switch (identity.type) {
    case 'matchExact':
      return isExact(image, signed)
    case 'matchRepoDigestOrExact':
      return image.digest === undefined
        ? isExact(image, signed)
        : signed.isPinned && repositoryName(image) === signed.repository
    case 'matchRepository':
      return repositoryName(image) === signed.repository
    case 'exactReference':
      return signed.isPinned && normalized(identity.dockerReference) === signed.text
    case 'exactRepository':
      return normalized(identity.dockerRepository) === signed.repository
    case 'remapIdentity':
      return matchesIdentity(
        { type: 'matchRepoDigestOrExact' },
        remap(image, identity.prefix, identity.signedPrefix),
        signed,
      )
    default:
      return identity satisfies never
  }
}

/** A docker-reference out of a signature. */
export interface SignedReference {
  /** With its host, and its tag or digest if it was signed with one. */
  readonly text: string
  readonly repository: string
  /** Whether it was signed with a tag or digest. */
  readonly isPinned: boolean
}

function isExact(image: ImageReference, signed: SignedReference): boolean {
  return signed.isPinned && pinnedNames(image).includes(signed.text)
}

/** The image's name by digest and by tag, as far as it has them; the owner wrote both. */
function pinnedNames(reference: ImageReference): string[] {
  const name = repositoryName(reference)
  return [
    ...(reference.digest === undefined ? [] : [`${name}@${reference.digest}`]),
    ...(reference.tag === undefined ? [] : [`${name}:${reference.tag}`]),
  ]
}

function remap(image: ImageReference, prefix: string, signedPrefix: string): ImageReference {
  const name = repositoryName(image)
  const isUnder = name === prefix || name.startsWith(`${prefix}/`)
  if (!isUnder) return image
  const moved = `${signedPrefix}${name.slice(prefix.length)}`
  const slash = moved.indexOf('/')
  return { ...image, registry: moved.slice(0, slash), repository: moved.slice(slash + 1) }
}

function normalized(reference: string): string {
  return reference.includes('/') &&
    /[.:]|^localhost/.test(reference.slice(0, reference.indexOf('/')))
    ? reference
    : `docker.io/${reference.includes('/') ? reference : `library/${reference}`}`
}
