import type { ErrorEntry } from './entry.ts'

export const GUEST_IMAGE_ERRORS = {} as const satisfies Record<string, ErrorEntry>
