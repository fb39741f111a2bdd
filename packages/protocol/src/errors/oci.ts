import type { ErrorEntry } from './entry.ts'

export const OCI_ERRORS = {} as const satisfies Record<string, ErrorEntry>
