import type { ErrorEntry } from './entry.ts'

/** Messages and formats that several parts share. */
export const PROTOCOL_ERRORS = {
  'internal.bug': {
    title: 'Something failed that should not have',
    why: 'a defect in Cloister',
    fix: ['run the command again with --verbose and report what it prints'],
    status: 500,
    exit: 1,
  },
  'request.malformed': {
    title: 'Cannot read the request',
    why: 'it does not have the documented shape',
    fix: ['compare it with docs/reference'],
    status: 400,
    exit: 6,
  },
  'initdata.malformed': {
    title: 'Cannot read the initdata',
    why: 'it is not the TOML document that the initdata format asks for',
    fix: ['make it with `cloister run` or `cloister vm create`'],
    status: 400,
    exit: 6,
  },
  'initdata.too-large': {
    title: 'Cannot use the initdata: it is too large',
    why: 'it or its inflated form exceeds the limit',
    fix: ['move large values into broker resources'],
    status: 413,
    exit: 6,
  },
} as const satisfies Record<string, ErrorEntry>
