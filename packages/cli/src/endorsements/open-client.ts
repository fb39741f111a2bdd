/** The command line's way to the vendors' services: Node's own `fetch`, a cache on disk, errors of the catalogue. */
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { EndorsementClient } from '@cloister/verifier/fetch/endorsement-client'
import { EndorsementFetchError } from '@cloister/verifier/fetch/fetch-error'
import { DiskFetchCache } from './disk-cache.ts'

export function openEndorsementClient(
  { cache }: Pick<Directories, 'cache'>,
  offline: boolean,
): EndorsementClient {
  return new EndorsementClient({
    fetch: (url, init) => fetch(url, init),
    cache: new DiskFetchCache(join(cache, 'endorsements')),
    offline,
  })
}

/** @throws CloisterError `fetch.*` in place of the fetchers' own error; `cli.usage` where an address cannot be used */
export async function withFetchErrors<Value>(fetching: () => Promise<Value>): Promise<Value> {
  try {
    return await fetching()
  } catch (cause) {
    if (cause instanceof TypeError)
      throw new CloisterError('cli.usage', { why: cause.message, cause })
    if (!(cause instanceof EndorsementFetchError)) throw cause
    const { code, url, status, problem, retryAfterMs } = cause
    const wait =
      retryAfterMs === undefined ? '' : `, asks to wait ${Math.ceil(retryAfterMs / 1000)} seconds`
    throw new CloisterError(code, {
      ...(url !== undefined && { where: url }),
      ...(status !== undefined
        ? { received: `status ${status}${wait}` }
        : problem !== undefined && { received: problem }),
      cause,
    })
  }
}
