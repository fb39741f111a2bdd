import type { ErrorEntry } from './entry.ts'

export const BROKER_ERRORS = {} as const satisfies Record<string, ErrorEntry>
