/** A registry to push to, with the credentials of the user's Docker configuration. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { httpTransport } from '@cloister/oci/http-transport'
import type { ImageSink } from '@cloister/oci/image-sink'
import type { ImageReference } from '@cloister/oci/reference'
import { credentialsFor } from '@cloister/oci/registry-credentials'
import { RegistrySink } from '@cloister/oci/registry-sink'

/** @param ca - PEM certificates that its TLS must chain to; absent: the public roots */
export function openRegistrySink(reference: ImageReference, ca?: readonly string[]): ImageSink {
  const config = readDockerConfig()
  return new RegistrySink({
    reference,
    transport: httpTransport(ca === undefined ? {} : { ca }),
    credentials: config === undefined ? undefined : credentialsFor(config, reference),
  })
}

/** The text of `config.json`; absent when the user has none. */
export function readDockerConfig(): string | undefined {
  const { DOCKER_CONFIG, HOME = '/root' } = process.env
  try {
    return readFileSync(join(DOCKER_CONFIG ?? join(HOME, '.docker'), 'config.json'), 'utf8')
  } catch {
    return undefined
  }
}
