import type { ErrorEntry } from './entry.ts'

export const LAUNCHER_ERRORS = {} as const satisfies Record<string, ErrorEntry>
