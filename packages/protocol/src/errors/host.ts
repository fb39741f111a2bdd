import type { ErrorEntry } from './entry.ts'

export const HOST_ERRORS = {} as const satisfies Record<string, ErrorEntry>
