/** Error codes that a guest may give. It must not speak in the name of the host's parts. */
import { ERROR_CODES, type ErrorCode } from './errors/catalogue.ts'

/** First parts of the codes that the initrd and the agent use. */
const GUEST_AREAS: ReadonlySet<string> = new Set([
  'agent',
  'guest-boot',
  'image',
  'initdata',
  'internal',
  'jwe',
  'registry',
  'request',
])

/** The code, when it is one that a guest may give. */
export function guestCode(text: string): ErrorCode | undefined {
  const area = text.split('.', 1)[0] ?? ''
  return GUEST_AREAS.has(area) && Object.hasOwn(ERROR_CODES, text) ? (text as ErrorCode) : undefined
}
