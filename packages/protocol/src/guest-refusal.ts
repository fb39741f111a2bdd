/**
 * What an attested guest tells its owner's broker when it refuses something by itself: an image, a signature, a request of its host. Host and
 * network see a code only; expected and received go this way, inside the guest's own TLS connection (design, rule 5).
 */
import { z } from 'zod'
import { guestCode } from './guest-code.ts'

/** Below the path of the KBS protocol. */
export const GUEST_REFUSAL_PATH = '/guest-refusals'

/** Characters of a text; what is longer is cut by the guest. */
export const GUEST_REFUSAL_TEXT = 1024

const Text = z.string().max(GUEST_REFUSAL_TEXT)

/** POST; answered with 204. What it says is the guest's word, and no decision rests on it. */
export const GuestRefusalSchema = z.strictObject({
  code: z.string().refine((code) => guestCode(code) !== undefined, 'no code of a guest'),
  where: Text.optional(),
  expected: Text.optional(),
  received: Text.optional(),
})
export type GuestRefusal = z.infer<typeof GuestRefusalSchema>
