/** AMD's revocation lists for the owner's own appraisals: what was fetched before and is in date, or asked for now. */
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import {
  fetchAmdRevocationList,
  type KdsKind,
  type KdsOptions,
} from '@cloister/verifier/fetch/amd-kds'
import type { ProductLine } from '@cloister/verifier/snp/product'
import { openEndorsementClient, withFetchErrors } from './open-client.ts'

/** Lists in DER; none where there is none to be had. Never throws because of a service. */
export type AmdLists = (line: ProductLine, kind: KdsKind) => Promise<readonly Uint8Array[]>

export interface AmdListOptions {
  /** Whether AMD may be asked; else only what was asked before counts. */
  readonly online: boolean
  readonly kds?: Pick<KdsOptions, 'address'>
  readonly signal?: AbortSignal | undefined
  /** Told why a list could not be had; absent where nobody asked for one. */
  readonly onMissing?: (reason: string) => void
}

export function amdLists(
  directories: Pick<Directories, 'cache'>,
  { online, kds, signal, onMissing }: AmdListOptions,
): AmdLists {
  const client = openEndorsementClient(directories, !online)
  return async (line, kind) => {
    try {
      return [
        await withFetchErrors(() => fetchAmdRevocationList(line, kind, { ...kds, client, signal })),
      ]
    } catch (error) {
      if (!(error instanceof CloisterError) || error.code === 'cli.usage') throw error
      onMissing?.(`no revocation list of ${line}: ${error.code}: ${error.message}`)
      return []
    }
  }
}
