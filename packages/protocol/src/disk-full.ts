/** A full disk of the host, as Node and SQLite say it. Guests have a code of their own for theirs. */
import { CloisterError } from './error.ts'

const SQLITE_FULL = 13
const CODES = new Set(['ENOSPC', 'EDQUOT'])

/**
 * @param where - absent: the path that the error names
 * @returns `host.disk-full`; undefined when the error is another one
 */
export function diskFull(error: unknown, where?: string): CloisterError | undefined {
  const { code, errcode, path } = error as {
    readonly code?: string
    readonly errcode?: number
    readonly path?: string
  }
  if (errcode !== SQLITE_FULL && !CODES.has(code ?? '')) return undefined
  const place = where ?? path
  return new CloisterError('host.disk-full', {
    ...(place !== undefined && { where: place }),
    cause: error,
  })
}
