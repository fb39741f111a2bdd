/** What the image says of itself: `/etc/cloister-image`, on the verity root and thus measured. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'

const GuestImageSchema = z.object({ imageVersion: z.int(), epoch: z.int() })
export type GuestImage = z.infer<typeof GuestImageSchema>

export function readGuestImage(path = '/etc/cloister-image'): GuestImage {
  return GuestImageSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
}
