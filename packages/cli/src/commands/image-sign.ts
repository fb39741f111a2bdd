import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { createFileSync, replaceFileSync } from '@cloister/protocol/replace-file'
import { textOption, type Command, type Invocation } from '../command.ts'
import { openSink } from '../image/open-sink.ts'
import { NAMED_IMAGE_OPTIONS, openNamedImage } from '../image/named-image.ts'
import { pkcs8Pem } from '../owner/pkcs8-pem.ts'
import { readInput } from '../read-input.ts'

const KEY_FILE_BYTES = 64 * 1024

export const command: Command = {
  usage: 'image sign IMAGE [--key FILE [--password-from FILE]] [--as NAME] [--registry-ca FILE]',
  details:
    "Signs as cosign does with a key pair; cosign verifies it with the public key. Without --key the owner's signing key is used and made when there is none:\nCLOISTER_HOME/owner/image-signing.pem, its public half beside it as image-signing.pub. The password of an encrypted key (cosign's key files, encrypted PEM) is read from the file of --password-from, else from COSIGN_PASSWORD.",
  options: {
    key: {
      type: 'string',
      value: 'FILE',
      help: "private key, PEM: ECDSA P-256 or P-384, RSA, Ed25519; cosign's key files too",
    },
    'password-from': { type: 'string', value: 'FILE|-', help: "the key file's password" },
    ...NAMED_IMAGE_OPTIONS,
    as: { ...NAMED_IMAGE_OPTIONS.as, help: 'name that the signature is for, host/repository' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, output, signal } = invocation
    const [image = ''] = positionals
    const named = await openNamedImage(image, invocation)
    using opened = named.opened
    const { resolveImage } = await import('@cloister/oci/resolve-image')
    const { signImage } = await import('@cloister/oci/sign-image')
    const { digest } = await resolveImage(opened.source, opened.from, undefined, signal)
    const { sink } = await openSink(image, named.registryCa)
    const { key, publicKeyFile } = await signingKey(invocation)
    await signImage({
      source: opened.source,
      sink,
      manifestDigest: digest,
      reference: opened.reference,
      privateKey: key,
      signal,
    })
    const name = `${opened.reference.registry}/${opened.reference.repository}`
    await output.object(
      {
        image,
        digest,
        signedAs: name,
        ...(publicKeyFile !== undefined && { publicKey: publicKeyFile }),
      },
      { name: digest, text: () => `${digest} signed as ${name}` },
    )
    if (publicKeyFile !== undefined)
      output.talk(`next: cloister run ${image} --signed-by ${publicKeyFile}`)
  },
}

async function signingKey(
  invocation: Invocation,
): Promise<{ key: KeyObject; publicKeyFile?: string }> {
  const file = textOption(invocation, 'key')
  if (file === undefined) return ownerSigningKey(invocation)
  const { parseSigningKey } = await import('@cloister/oci/signing-key')
  const pem = (await readInput(file, KEY_FILE_BYTES)).toString()
  try {
    return { key: parseSigningKey(pem, await keyPassword(invocation)) }
  } catch (error) {
    const { details } = CloisterError.from(error)
    throw new CloisterError('image.signing-key-malformed', { ...details, where: file })
  }
}

/** Never an argument: those stand in the list of processes. One line break at its end is the editor's. */
async function keyPassword(invocation: Invocation): Promise<string> {
  const file = textOption(invocation, 'password-from')
  if (file === undefined) return process.env['COSIGN_PASSWORD'] ?? ''
  return (await readInput(file, KEY_FILE_BYTES)).toString().replace(/\r?\n$/, '')
}

/** The owner's key pair for images, ECDSA P-256 as cosign makes them; made when there is none. */
export function ownerSigningKey({ directories }: Pick<Invocation, 'directories'>): {
  key: KeyObject
  publicKeyFile: string
} {
  const privateKeyFile = join(directories.owner, 'image-signing.pem')
  const publicKeyFile = join(directories.owner, 'image-signing.pub')
  try {
    return { key: createPrivateKey(readFileSync(privateKeyFile)), publicKeyFile }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new CloisterError('image.signing-key-malformed', { where: privateKeyFile, cause })
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  mkdirSync(directories.owner, { recursive: true, mode: 0o700 })
  const key = createPrivateKey(createFileSync(privateKeyFile, pkcs8Pem(privateKey)))
  const publicPem = createPublicKey(key).export({ type: 'spki', format: 'pem' })
  replaceFileSync(publicKeyFile, publicPem, 0o644)
  return { key, publicKeyFile }
}
