/**
 * OCI image layout (image-spec image-layout.md): `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`. Tags are the annotation
 * `org.opencontainers.image.ref.name`, where cosign's signature tags lie as well. Links are not followed: what is served is inside the directory.
 */
import { constants } from 'node:fs'
import { open, readFile, type FileHandle } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { isDigest, splitDigest } from './digest.ts'
import {
  MANIFEST_LIMITS,
  parseIndex,
  type Descriptor,
  type Index,
  type IndexEntry,
} from './manifest.ts'
import type { ImageSource } from './image-source.ts'

export const REF_NAME = 'org.opencontainers.image.ref.name'
const READ_SIZE = 128 * 1024

/** Throws `image.not-found` when the directory is not a layout. */
export async function openLayout(directory: string): Promise<Layout> {
  const layout = new Layout(resolve(directory))
  await layout.index()
  return layout
}

export class Layout implements ImageSource {
  readonly name: string
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
    this.name = `oci:${directory}`
  }

  /** Read anew each time: another process may have tagged since. */
  async index(): Promise<Index> {
    try {
      return parseIndex(await readFile(`${this.directory}/index.json`))
    } catch (cause) {
      if (cause instanceof CloisterError) throw cause
      throw new CloisterError('image.not-found', {
        where: this.name,
        why: 'it is not an OCI layout: index.json cannot be read',
        cause,
      })
    }
  }

  async document(reference: string): Promise<Uint8Array | undefined> {
    const digest = isDigest(reference) ? reference : (await this.tagged(reference))?.digest
    if (digest === undefined) return undefined
    await using blob = await this.openBlob(digest)
    if (blob === undefined) return undefined
    const { size } = await blob.stat()
    if (size > MANIFEST_LIMITS.manifestBytes)
      throw new CloisterError('image.manifest-malformed', {
        where: `${this.name} ${reference}`,
        expected: `at most ${MANIFEST_LIMITS.manifestBytes} bytes`,
        received: `${size} bytes`,
      })
    return blob.readFile()
  }

  async *blob(
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    await using file = await this.openBlob(digest)
    if (file === undefined)
      throw new CloisterError('image.not-found', { where: `${this.name} ${digest}` })
    const found = (await file.stat()).size
    if (found !== size)
      throw new CloisterError('image.size-mismatch', {
        where: digest,
        expected: `${size} bytes`,
        received: `${found} bytes`,
      })
    yield* file.createReadStream({
      highWaterMark: READ_SIZE,
      autoClose: false,
      ...(signal && { signal }),
    })
  }

  /** The entry of a tag; `''` stands for the only image of a layout that has no more. Absent: there is none. */
  async tagged(tag: string): Promise<IndexEntry | undefined> {
    const { manifests } = await this.index()
    if (tag === '') return onlyImage(manifests)
    // Some tools write the whole reference where others write the tag.
    return manifests.find(({ annotations }) => {
      const name = annotations?.[REF_NAME]
      return name === tag || name?.endsWith(`:${tag}`) === true
    })
  }

  /** Absent: there is no such blob. The caller closes it. */
  async openBlob(digest: string): Promise<FileHandle | undefined> {
    const { algorithm, hex } = splitDigest(digest)
    try {
      return await open(
        `${this.directory}/blobs/${algorithm}/${hex}`,
        constants.O_RDONLY | constants.O_NOFOLLOW,
      )
    } catch (error) {
      if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
        return undefined
      throw error
    }
  }
}

function onlyImage(entries: readonly IndexEntry[]): IndexEntry | undefined {
  const images = entries.filter(
    ({ annotations }) => annotations?.[REF_NAME]?.endsWith('.sig') !== true,
  )
  return images.length === 1 ? images[0] : undefined
}
