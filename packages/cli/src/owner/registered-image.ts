/** Guest images as the owner registered them at the broker: one stays right for what was started in it, when it has been built anew or removed since. */
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import type { GuestImageList, WorkloadRevision } from '@cloister/protocol/broker-admin-api'

type Listed = GuestImageList['guestImages'][number]

export type RegisteredImage = Pick<Listed, 'name' | 'anchors' | 'measurements'>

/**
 * The images that a container may run in: the newest of each name when its current revision was registered, and later ones, as far as they are not
 * withdrawn. What was older even then is none of them: a host that starts it goes back on purpose.
 */
export function imagesOfWorkload(
  images: readonly Listed[],
  revisions: readonly WorkloadRevision[],
): RegisteredImage[] {
  const current = revisions.find(({ state }) => state === 'current')
  if (current === undefined) return []
  const floor = ({ name, anchors }: Listed) =>
    Math.max(
      ...images
        .filter((image) => image.name === name && image.anchors === anchors)
        .filter(({ registeredAt }) => registeredAt <= current.registeredAt)
        .map(({ imageVersion }) => imageVersion),
    )
  return images.filter(
    (image) =>
      image.state === 'current' &&
      !image.name.startsWith(bundleName('')) &&
      image.imageVersion >= floor(image),
  )
}

/** Registering took the digests of the one mode that counts under the anchors. */
export function registeredDigests(
  images: readonly RegisteredImage[],
  wanted: 'amd' | 'simulated',
): string[] {
  return images.flatMap(({ anchors, measurements }) => (anchors === wanted ? measurements : []))
}
