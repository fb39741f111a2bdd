/** Opens what the user wrote as IMAGE: a registry reference, `oci:DIR[:TAG]` or `oci-archive:FILE[:TAG]`. */
import { basename, resolve } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { Target } from '@cloister/protocol/hostd-api'
import type { ImageSource } from '@cloister/oci/image-source'
import { parseImageSource, type ImageLocation, type ImageReference } from '@cloister/oci/reference'
import type { Directories } from '@cloister/protocol/directories'

/** Disposing of it closes its connections. */
export interface OpenedImage extends Disposable {
  readonly source: ImageSource
  /** Tag or digest to ask the source for. */
  readonly from: string
  /** The name that signatures are held against; a local layout is `localhost/<folder>` unless named otherwise. */
  readonly reference: Pick<ImageReference, 'registry' | 'repository' | 'tag'>
  /** Where hostd carries the guest's connection to. */
  readonly target: Target
  /** Through hostd's read-only endpoint, whose bytes are checked by digest. */
  readonly plainHttp: boolean
}

export interface OpenImageOptions {
  readonly directories: Directories
  /** Name of a local image, `host/repository`. */
  readonly as?: string | undefined
  /** PEM certificates; absent: the public roots. */
  readonly registryCa?: readonly string[] | undefined
}

/** @throws CloisterError `image.*`, `registry.*` */
export async function openImage(text: string, options: OpenImageOptions): Promise<OpenedImage> {
  const location = parseImageSource(text)
  switch (location.kind) {
    case 'oci':
      return await openLocal(
        location.directory,
        location.tag,
        options.as ?? layoutName(location.directory),
      )
    case 'oci-archive': {
      const directory = await unpackArchive(location.file, options.directories)
      return await openLocal(directory, location.tag, options.as ?? layoutName(location.file))
    }
    case 'registry':
      return await openRegistry(location, options)
    default:
      return location satisfies never
  }
}

/** `localhost/` and the folder's name in the letters that a repository may have. */
function layoutName(path: string): string {
  const name = basename(resolve(path))
    .toLowerCase()
    .replace(/\.(?:tar|oci)$/, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  return `localhost/${name === '' ? 'image' : name}`
}

async function openLocal(
  directory: string,
  tag: string | undefined,
  name: string,
): Promise<OpenedImage> {
  const { openLayout } = await import('@cloister/oci/layout')
  const { parseReference } = await import('@cloister/oci/reference')
  const layout = await openLayout(directory)
  const { registry, repository } = parseReference(name)
  const from = tag ?? (await onlyTag(layout))
  return {
    source: layout,
    from,
    reference: { registry, repository, tag: from },
    target: { layout: layout.directory },
    plainHttp: true,
    [Symbol.dispose]: () => undefined,
  }
}

/** The one tag of a layout, signatures aside. @throws CloisterError `image.not-found` when there are several or none */
async function onlyTag(layout: {
  readonly name: string
  index(): Promise<{
    manifests: readonly { annotations?: Readonly<Record<string, string>> | null | undefined }[]
  }>
}): Promise<string> {
  const { REF_NAME } = await import('@cloister/oci/layout')
  const tags = (await layout.index()).manifests
    .map(({ annotations }) => annotations?.[REF_NAME])
    .filter((tag) => tag !== undefined && !/^sha256-[0-9a-f]{64}\.\w+$/.test(tag))
  const [first] = tags
  if (first !== undefined && tags.length === 1) return first
  throw new CloisterError('image.not-found', {
    where: layout.name,
    why:
      tags.length === 0
        ? 'the layout has no tag'
        : 'the layout has several tags, and none was named',
    expected: `oci:DIR:TAG, with one of: ${tags.slice(0, 8).join(', ')}`,
  })
}

/** An archive is unpacked once, into a folder named after its content. */
async function unpackArchive(file: string, { cache }: Directories): Promise<string> {
  const { unpackOciArchive } = await import('@cloister/oci/archive')
  return await unpackOciArchive(file, `${cache}/oci-archives`)
}

async function openRegistry(
  { reference }: Extract<ImageLocation, { kind: 'registry' }>,
  { registryCa }: OpenImageOptions,
): Promise<OpenedImage> {
  const { registrySource } = await import('@cloister/oci/registry-client')
  const { httpTransport } = await import('@cloister/oci/http-transport')
  const { credentialsFor } = await import('@cloister/oci/registry-credentials')
  const { readDockerConfig } = await import('../image/registry-sink.ts')
  const text = readDockerConfig()
  const transport = httpTransport(registryCa === undefined ? {} : { ca: registryCa })
  const source = registrySource({
    reference,
    transport,
    credentials: text === undefined ? undefined : credentialsFor(text, reference),
  })
  return {
    source,
    from: reference.digest ?? reference.tag ?? 'latest',
    reference,
    target: { tcp: registryAddress(reference.registry) },
    plainHttp: false,
    [Symbol.dispose]: () => {
      transport[Symbol.dispose]()
    },
  }
}

function registryAddress(registry: string): string {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry
  return /:\d+$/.test(host) ? host : `${host}:443`
}
