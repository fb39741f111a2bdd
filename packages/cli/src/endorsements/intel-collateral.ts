/** Intel's collateral for the owner's own appraisals: what was fetched before and is in date, or asked for now. */
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { fetchDcapEndorsements, type PcsOptions } from '@cloister/verifier/fetch/intel-pcs'
import type { IntelCollateral } from '../owner/td-evidence.ts'
import { openEndorsementClient, withFetchErrors } from './open-client.ts'

export interface CollateralOptions {
  /** Whether Intel may be asked; else only what was asked before counts. */
  readonly online: boolean
  readonly pcs?: Pick<PcsOptions, 'address' | 'update'>
  readonly signal?: AbortSignal | undefined
  /** Told why it could not be had; absent where nobody asked for it. */
  readonly onMissing?: (reason: string) => void
}

/** Never throws because of a service. */
export function intelCollateral(
  directories: Pick<Directories, 'cache'>,
  { online, pcs, signal, onMissing }: CollateralOptions,
): IntelCollateral {
  const client = openEndorsementClient(directories, !online)
  return async (quote) => {
    try {
      const { platform: _, ...found } = await withFetchErrors(() =>
        fetchDcapEndorsements(quote, { ...pcs, client, signal }),
      )
      return found
    } catch (error) {
      if (!(error instanceof CloisterError) || error.code === 'cli.usage') throw error
      onMissing?.(`no collateral of Intel: ${error.code}: ${error.message}`)
      return {}
    }
  }
}
