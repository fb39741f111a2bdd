import { createPublicKey, randomBytes } from 'node:crypto'
import type { Recipient } from '@cloister/oci/encrypt-image'
import { CloisterError } from '@cloister/protocol/error'
import { listOption, textOption, type Command } from '../command.ts'
import { openSink } from '../image/open-sink.ts'
import { NAMED_IMAGE_OPTIONS, openNamedImage } from '../image/named-image.ts'
import { openBroker } from '../owner/broker-client.ts'
import { resourcePath } from '../owner/resource-path.ts'
import { readInput } from '../read-input.ts'

export const command: Command = {
  usage:
    'image encrypt IMAGE TARGET [--key NAME] [--key-file FILE] [--jwe FILE]… [--allow-simulated] [--registry-ca FILE]',
  details:
    "Encrypts every layer with a key of its own and wraps those keys with NAME's 32 bytes, which it makes and stores at the broker (--key-file: uses\nthese bytes and stores nothing). --jwe adds an RSA public key, so that skopeo can open the image with the private one.",
  options: {
    key: {
      type: 'string',
      value: 'NAME',
      help: 'secret that is made to hold the image key; default image-key/<repository>/<random>',
    },
    'key-file': { type: 'string', value: 'FILE', help: '32 bytes; the broker is not asked' },
    jwe: { type: 'string', multiple: true, value: 'FILE', help: 'RSA public key, PEM' },
    'allow-simulated': { type: 'boolean', help: 'the image key may go to a simulated TEE' },
    ...NAMED_IMAGE_OPTIONS,
  },
  positionals: [2, 2],
  async run(invocation) {
    const { positionals, output, signal } = invocation
    const [from = '', to = ''] = positionals
    const named = await openNamedImage(from, invocation)
    using opened = named.opened
    const sink = await openSink(to, named.registryCa)
    const resource = resourcePath(
      textOption(invocation, 'key') ??
        // A key of its own for each: a new one under the same name would close the images before.
        `image-key/${opened.reference.repository.replaceAll('/', '-')}/${randomBytes(6).toString('hex')}`,
    )
    const others = await Promise.all(listOption(invocation, 'jwe').map(jweRecipient))
    const imageKey = await openImageKey(invocation, resource)
    const { encryptImage } = await import('@cloister/oci/encrypt-image')
    const descriptor = await encryptImage({
      source: opened.source,
      from: opened.from,
      sink: sink.sink,
      tag: sink.tag,
      recipients: [{ scheme: 'broker', resource, key: imageKey.bytes }, ...others],
      signal,
    }).catch(async (error: unknown) => {
      // What broke it off says more than a broker that is gone too.
      await imageKey.forget().catch(() => undefined)
      throw error
    })
    await output.object(
      { image: to, digest: descriptor.digest, key: resource },
      { name: descriptor.digest, text: () => `${to}  ${descriptor.digest}  key ${resource}` },
    )
    output.talk(`next: cloister image sign ${to}`)
  },
}

const KEY_BYTES = 32

interface ImageKey {
  readonly bytes: Uint8Array
  /** Takes it back from the broker, for an image that did not come to be. */
  forget(): Promise<void>
}

/** @throws CloisterError `owner.image-key-exists` */
async function openImageKey(
  invocation: Parameters<Command['run']>[0],
  resource: string,
): Promise<ImageKey> {
  const file = textOption(invocation, 'key-file')
  if (file !== undefined) {
    const bytes = await readInput(file, 1024)
    if (bytes.length === KEY_BYTES) return { bytes, forget: async () => undefined }
    throw new CloisterError('cli.usage', {
      why: 'an image key has 32 bytes',
      received: `${bytes.length} bytes`,
    })
  }
  const bytes = randomBytes(KEY_BYTES)
  const broker = openBroker(invocation.directories, invocation.signal)
  if ((await broker.secrets()).some(({ path }) => path === resource))
    throw new CloisterError('owner.image-key-exists', { where: resource })
  await broker.putSecret(resource, {
    value: bytes.toString('base64'),
    allowSimulated: invocation.options['allow-simulated'] === true,
  })
  // Whatever broke the encryption off, an interruption too.
  const forget = async () => await openBroker(invocation.directories).removeSecret(resource)
  return { bytes, forget }
}

async function jweRecipient(file: string): Promise<Recipient> {
  const pem = await readInput(file, 64 * 1024)
  try {
    return { scheme: 'jwe', publicKey: createPublicKey(pem) }
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', {
      where: file,
      why: 'it holds no public key in PEM',
      cause,
    })
  }
}
