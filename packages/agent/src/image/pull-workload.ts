/** The agent pulls the image itself: the host carries bytes that are checked, decrypted and unpacked here. */
import { readFile } from 'node:fs/promises'
import { httpTransport } from '@cloister/oci/http-transport'
import { brokerUnwrapper, resourcePath } from '@cloister/oci/key-unwrap'
import { pullImage } from '@cloister/oci/pull'
import { parseReference } from '@cloister/oci/reference'
import { registrySource } from '@cloister/oci/registry-client'
import { credentialsFor } from '@cloister/oci/registry-credentials'
import { parseSignaturePolicy } from '@cloister/oci/signature-policy'
import { CloisterError } from '@cloister/protocol/error'
import type { PullImage } from './pull.ts'

/** Public roots of the guest image, for a registry whose CA the workload does not name. */
const PUBLIC_ROOTS = '/etc/ssl/certs/ca-certificates.crt'
/** Of the guest image. */
const SETFATTR = '/usr/bin/setfattr'

/** @throws CloisterError `image.*`, `registry.*`, and what `getResource` throws */
export const pullWorkloadImage: PullImage = async (options) => {
  const { workload, directory, place, openTarget, getResource, signal } = options
  const { image } = workload
  const reference = parseReference(image.reference)
  const resource = (path: string, pullSignal: AbortSignal = signal) => getResource(path, pullSignal)
  const ca = image.registry.plainHttp ? [] : await registryRoots(image.registry.ca)
  using transport = httpTransport({
    ca,
    connect: (url) => {
      // The one target leads to the one registry; what redirects elsewhere, or a token service elsewhere, is not reachable.
      if (url.host !== reference.registry)
        throw new CloisterError('registry.unreachable', { where: url.host.slice(0, 100) })
      return openTarget(image.registry.target, signal)
    },
  })
  const { digest, config } = await pullImage({
    source: registrySource({
      reference,
      transport,
      plainHttp: image.registry.plainHttp,
      credentials: await registryCredentials(image.registry.credentials, reference, resource),
    }),
    reference,
    digest: image.digest,
    ...(image.signaturePolicy !== undefined && {
      policy: parseSignaturePolicy(image.signaturePolicy),
    }),
    readKey: (path) => resource(resourcePath(path)),
    unwrapKey: brokerUnwrapper({
      getResource: resource,
      ...(image.keys !== undefined && { allowed: image.keys }),
    }),
    directory,
    ...(place !== undefined && { place }),
    xattrProgram: SETFATTR,
    signal,
    ...(options.unpackWorker !== undefined && { unpackWorker: options.unpackWorker }),
  })
  return { digest, config }
}

async function registryRoots(ca: readonly string[] | undefined): Promise<string[]> {
  return ca === undefined ? [await readFile(PUBLIC_ROOTS, 'utf8')] : [...ca]
}

/** Credentials are asked for only when the workload names them, and go to this registry's host alone. */
async function registryCredentials(
  path: string | undefined,
  reference: ReturnType<typeof parseReference>,
  getResource: (path: string) => Promise<Uint8Array>,
) {
  if (path === undefined) return undefined
  return credentialsFor(Buffer.from(await getResource(path)).toString('utf8'), reference)
}
