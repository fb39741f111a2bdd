/** What the image says of itself: `/etc/cloister-image`, on the verity root and thus measured. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

const GuestImageSchema = z.object({ imageVersion: z.int(), epoch: z.int() })
export type GuestImage = z.infer<typeof GuestImageSchema>

export async function readGuestImage(path = '/etc/cloister-image'): Promise<GuestImage> {
  return GuestImageSchema.parse(JSON.parse(await readFile(path, 'utf8')))
}
