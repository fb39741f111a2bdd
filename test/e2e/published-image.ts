/** An image on its way to users: built, encrypted and pushed, signed, all by the CLI but for the building. */
import { join } from 'node:path'
import { buildImage, type BuildOptions } from '@cloister/oci/build-image'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import type { TestRegistry } from '../interop/test-registry.ts'
import type { Deployment } from './deployment.ts'

export interface PublishOptions {
  readonly registry: TestRegistry
  /** Repository and tag. */
  readonly name: string
  readonly layers: BuildOptions['layers']
  readonly config: BuildOptions['config']
  /** Scratch place of the owner's. */
  readonly directory: string
}

export interface PublishedImage {
  /** As `run` takes it. */
  readonly image: string
  readonly digest: string
  readonly publicKey: string
  /** Options of `run` that reach it. */
  readonly runOptions: readonly string[]
}

/** The secret of the broker that holds the registry's password for guests. */
export const REGISTRY_LOGIN = 'registry-login'

export async function publishImage(
  deployment: Deployment,
  { registry, name, layers, config, directory }: PublishOptions,
): Promise<PublishedImage> {
  deployment.useDockerConfig(registry.directory)
  const plain = join(directory, 'plain')
  const sink = await LayoutWriter.open(plain)
  await buildImage({ sink, tag: 'v1', layers, config, compression: 'zstd' })
  const image = `${registry.host}/${name}`
  const trust = ['--registry-ca', registry.caFile]
  const simulated = '--allow-simulated'
  await deployment.succeed('image', 'encrypt', `oci:${plain}:v1`, image, simulated, ...trust)
  const { digest, publicKey } = await deployment.succeed('image', 'sign', image, ...trust)
  await putSecret(deployment, REGISTRY_LOGIN, join(registry.directory, 'config.json'))
  const credentials = ['--registry-credentials', REGISTRY_LOGIN]
  const runOptions = [...trust, ...credentials, '--signed-by', publicKey]
  return { image, digest, publicKey, runOptions }
}

export async function putSecret(deployment: Deployment, name: string, file: string): Promise<void> {
  await deployment.succeed('secret', 'put', name, '--from-file', file, '--allow-simulated')
}

/** Small guests start faster, and a small scratch disk is searched faster. */
export const SMALL_GUEST = ['--tee', 'simulated', '--memory', '512M', '--disk', '512M', '--detach']
