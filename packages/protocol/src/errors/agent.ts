import type { ErrorEntry } from './entry.ts'

export const AGENT_ERRORS = {} as const satisfies Record<string, ErrorEntry>
