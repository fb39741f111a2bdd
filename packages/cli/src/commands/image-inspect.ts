import type { InspectedImage } from '@cloister/oci/inspect-image'
import type { Command } from '../command.ts'
import { escapeText } from '../escape-text.ts'
import { NAMED_IMAGE_OPTIONS, openNamedImage } from '../image/named-image.ts'
import { titledLines } from '../titled-lines.ts'

export const command: Command = {
  usage: 'image inspect IMAGE [--as NAME] [--registry-ca FILE]',
  options: {
    ...NAMED_IMAGE_OPTIONS,
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, output, signal } = invocation
    const [image = ''] = positionals
    using opened = (await openNamedImage(image, invocation)).opened
    const { inspectImage } = await import('@cloister/oci/inspect-image')
    const found = await inspectImage(opened.source, opened.from, { signal })
    await output.object(found, { name: found.digest, text: () => imageText(found) })
  },
}

/** The image in lines; every word of it is its author's. */
function imageText(image: InspectedImage): string {
  const { platform, config, layers, signatures } = image
  const lines: readonly (readonly [string, string])[] = [
    ['digest', image.digest],
    ['platform', [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')],
    ['created', image.created ?? '-'],
    ['runs', [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].join(' ') || '-'],
    ['user', config.User ?? '-'],
    [
      'size',
      `${sizeText(image.size)}, ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}${image.encrypted ? ', encrypted' : ''}`,
    ],
    ...layers.map(
      ({ digest, size, compression, encrypted, recipients }) =>
        [
          'layer',
          `${digest}  ${sizeText(size)}  ${compression ?? 'unknown type'}${encrypted ? `, encrypted for ${recipients.join(', ')}` : ''}`,
        ] as const,
    ),
    ...(signatures.length === 0 ? [['signed', 'no'] as const] : []),
    ...signatures.map(
      ({ dockerReference, manifestDigest }) =>
        [
          'signed',
          `as ${dockerReference ?? 'unreadable'}${manifestDigest === image.digest ? '' : ', of another digest'} (unverified)`,
        ] as const,
    ),
  ]
  return escapeText(titledLines(lines))
}

function sizeText(bytes: number): string {
  return bytes < 1_048_576
    ? `${(bytes / 1024).toFixed(1)} KiB`
    : `${(bytes / 1_048_576).toFixed(1)} MiB`
}
