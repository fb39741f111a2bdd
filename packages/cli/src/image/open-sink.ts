/** Where an image command writes: `oci:DIR[:TAG]`, or a registry with the user's own credentials. */
import { parseImageSource } from '@cloister/oci/reference'
import type { ImageSink } from '@cloister/oci/image-sink'
import { CloisterError } from '@cloister/protocol/error'

export interface OpenedSink {
  readonly sink: ImageSink
  readonly tag: string
}

/**
 * @param registryCa - PEM certificates; absent: the public roots
 * @throws CloisterError `image.reference-malformed`, `cli.usage`
 */
export async function openSink(text: string, registryCa?: readonly string[]): Promise<OpenedSink> {
  const location = parseImageSource(text)
  if (location.kind === 'oci') {
    const { LayoutWriter } = await import('@cloister/oci/layout-writer')
    return { sink: await LayoutWriter.open(location.directory), tag: location.tag ?? 'latest' }
  }
  if (location.kind === 'registry') {
    const { openRegistrySink } = await import('./registry-sink.ts')
    return {
      sink: openRegistrySink(location.reference, registryCa),
      tag: location.reference.tag ?? 'latest',
    }
  }
  throw new CloisterError('cli.usage', {
    why: 'an archive cannot be written to',
    expected: 'oci:DIR[:TAG] or a registry reference',
  })
}
