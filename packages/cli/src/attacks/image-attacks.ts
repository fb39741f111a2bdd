/** Attacks on the image on its way to the guest: the same pull that the agent makes, from a source that lies. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageSource } from '@cloister/oci/image-source'
import { openLayout } from '@cloister/oci/layout'
import { pullImage } from '@cloister/oci/pull'
import { parseSignaturePolicy } from '@cloister/oci/signature-policy'
import { CloisterError } from '@cloister/protocol/error'
import type { Attack, Battlefield, Refusal } from './attack.ts'

/** Pulls the demo's image as the guest would, from `source`. */
async function pull(
  field: Battlefield,
  source: ImageSource,
  publicKeyPem: string,
): Promise<Refusal> {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-pull-'))
  try {
    await pullImage({
      source,
      reference: { registry: 'localhost', repository: 'demo', digest: field.imageDigest },
      digest: field.imageDigest,
      policy: signedBy(publicKeyPem),
      // The host has no image key; what is refused here is refused before one is needed, or without it.
      unwrapKey: async () => undefined,
      directory: join(folder, 'rootfs'),
      signal: field.signal,
    })
    return { code: undefined, by: 'guest' }
  } catch (error) {
    return { code: CloisterError.from(error).code, by: 'guest' }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function signedBy(publicKeyPem: string) {
  const keyData = Buffer.from(publicKeyPem).toString('base64')
  const requirement = {
    type: 'sigstoreSigned',
    keyData,
    signedIdentity: { type: 'matchRepository' },
  }
  return parseSignaturePolicy({ default: [requirement] })
}

/** The real layout, but for what `overrides` answers. */
async function lyingSource(
  field: Battlefield,
  overrides: Partial<ImageSource>,
): Promise<ImageSource> {
  const layout = await openLayout(field.layout)
  return {
    name: layout.name,
    document: async (reference, signal) =>
      await (overrides.document?.(reference, signal) ?? layout.document(reference)),
    blob: (descriptor, signal) =>
      overrides.blob?.(descriptor, signal) ?? layout.blob(descriptor, signal),
  }
}

const manifestSwapped: Attack = {
  name: 'image-manifest-swapped',
  story: 'serve another manifest under the digest that the owner named',
  expected: ['image.digest-mismatch'],
  async attempt(field) {
    const layout = await openLayout(field.layout)
    const source = await lyingSource(field, {
      document: async (reference) => {
        const bytes = await layout.document(reference)
        return bytes === undefined || reference !== field.imageDigest
          ? bytes
          : Buffer.concat([bytes, Buffer.from(' ')])
      },
    })
    return await pull(field, source, await readFile(field.publicKeyFile, 'utf8'))
  },
}

const unsigned: Attack = {
  name: 'image-unsigned',
  story: 'serve the image without its signature',
  expected: ['image.signature-missing'],
  async attempt(field) {
    const layout = await openLayout(field.layout)
    const source = await lyingSource(field, {
      document: async (reference) =>
        reference.endsWith('.sig') ? undefined : await layout.document(reference),
    })
    return await pull(field, source, await readFile(field.publicKeyFile, 'utf8'))
  },
}

const otherSigner: Attack = {
  name: 'image-signed-by-another',
  story: 'serve an image signed with a key that the policy does not name',
  expected: ['image.signature-invalid'],
  async attempt(field) {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
    return await pull(field, await lyingSource(field, {}), pem)
  },
}

const withoutKey: Attack = {
  name: 'image-key-withheld',
  story: 'decrypt the image on the host, without the key from the broker',
  expected: ['image.key-missing'],
  attempt: async (field) =>
    await pull(field, await lyingSource(field, {}), await readFile(field.publicKeyFile, 'utf8')),
}

export const IMAGE_ATTACKS: readonly Attack[] = [manifestSwapped, unsigned, otherSigner, withoutKey]
