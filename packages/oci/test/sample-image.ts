/** A small image for tests: two layers, the second of which replaces and removes; plain or encrypted for a broker's key; signed or not. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { buildImage } from '../src/build-image.ts'
import { encryptImage } from '../src/encrypt-image.ts'
import { brokerUnwrapper } from '../src/key-unwrap.ts'
import { parseReference } from '../src/reference.ts'
import { signImage } from '../src/sign-image.ts'
import type { Compression } from '../src/media-types.ts'
import type { PullOptions } from '../src/pull.ts'
import { MemoryImage } from './memory-image.ts'
import { tarStream } from '../src/testing/tar-file.ts'

export const SAMPLE_KEY = Buffer.alloc(32, 7)
export const SAMPLE_RESOURCE = 'default/image-key/sample'
export const SAMPLE_NAME = 'registry.example/team/app'

export interface SampleImage {
  readonly store: MemoryImage
  /** Of the manifest under the tag `v1`. */
  readonly digest: string
}

export async function plainSample(compression: Compression = 'gzip'): Promise<SampleImage> {
  const store = new MemoryImage()
  const { digest } = await buildImage({
    sink: store,
    tag: 'v1',
    compression,
    platform: { os: 'linux', architecture: 'amd64' },
    layers: [
      {
        tar: tarStream([
          { name: 'etc/', type: '5' },
          { name: 'etc/a', content: 'a' },
          { name: 'old' },
        ]),
      },
      { tar: tarStream([{ name: 'etc/b', content: 'b'.repeat(5000) }, { name: '.wh.old' }]) },
    ],
    config: { Cmd: ['/bin/app'] },
  })
  return { store, digest }
}

export async function encryptedSample(compression: Compression = 'gzip'): Promise<SampleImage> {
  const { store } = await plainSample(compression)
  const { digest } = await encryptImage({
    source: store,
    from: 'v1',
    sink: store,
    tag: 'v1',
    platform: { os: 'linux', architecture: 'amd64' },
    recipients: [{ scheme: 'broker', resource: SAMPLE_RESOURCE, key: SAMPLE_KEY }],
  })
  return { store, digest }
}

export async function signSample(
  { store, digest }: SampleImage,
  privateKey: KeyObject,
  name: string = SAMPLE_NAME,
): Promise<void> {
  const reference = parseReference(name)
  await signImage({ source: store, sink: store, manifestDigest: digest, reference, privateKey })
}

export function signingKey(): { privateKey: KeyObject; publicPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString() }
}

/** Options that pull the sample; a test changes what it is about. */
export function pullOptions(sample: SampleImage, directory: string): PullOptions {
  return {
    source: sample.store,
    reference: parseReference(`${SAMPLE_NAME}:v1@${sample.digest}`),
    digest: sample.digest,
    directory,
    platform: { os: 'linux', architecture: 'amd64' },
    unwrapKey: brokerUnwrapper({
      allowed: [SAMPLE_RESOURCE],
      getResource: () => Promise.resolve(SAMPLE_KEY),
    }),
  }
}
