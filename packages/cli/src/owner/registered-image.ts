/** Guest images as the owner registered them at the broker: they stay right for guests that were started before their image was built anew or removed. */
import type { GuestImageList } from '@cloister/protocol/broker-admin-api'
import type { TdxRegisters } from '@cloister/protocol/guest-image-manifest'

export type RegisteredImage = Pick<
  GuestImageList['guestImages'][number],
  'name' | 'anchors' | 'measurements'
>

/** What was withdrawn is none of them. */
export function imagesInForce(images: GuestImageList['guestImages']): RegisteredImage[] {
  return images.filter(({ state }) => state === 'current')
}

/** Registering took the digests of the one mode that counts under the anchors. */
export function registeredDigests(
  images: readonly RegisteredImage[],
  wanted: 'amd' | 'simulated',
): string[] {
  return images.flatMap(({ anchors, measurements }) => (anchors === wanted ? measurements : []))
}

/** The three registers stand in one text there, for they count together only. */
export function registeredRegisters(images: readonly RegisteredImage[]): TdxRegisters[] {
  return images
    .filter(({ anchors }) => anchors === 'intel')
    .flatMap(({ measurements }) =>
      measurements.map((text) => ({
        mrTd: text.slice(0, 96),
        rtmr1: text.slice(96, 192),
        rtmr2: text.slice(192),
      })),
    )
}
