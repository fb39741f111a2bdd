/**
 * Which mirror of Debian this machine uses, as its own apt says it. Nothing here names a host: the mirror is an untrusted
 * carrier, for apt checks all that it brings by Debian's keys.
 */
import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from './run.ts'
import { run } from './run.ts'

export interface DebianMirrors {
  /** Base address of the archive, in the form of apt's sources. */
  readonly archive: string
  /** Base address of the security archive. Absent: this machine uses none. */
  readonly security?: string
}

const FORMAT = '$(ORIGIN)|$(LABEL)|$(REPO_URI)'

/** @throws CloisterError `guest-image.mirror-unknown` */
export async function debianMirrors(context: BuildContext): Promise<DebianMirrors> {
  const listing = await run(
    'apt-get',
    ['indextargets', '--format', FORMAT, 'Created-By: Packages'],
    context,
  )
  return mirrorsFromListing(listing)
}

/** Reads lines `origin|label|address` of `apt-get indextargets`. */
export function mirrorsFromListing(listing: string): DebianMirrors {
  const byLabel = new Map<string, string>()
  for (const line of listing.split('\n')) {
    const [origin, label, address] = line.split('|')
    if (origin !== 'Debian' || label === undefined || address === undefined) continue
    if (!byLabel.has(label)) byLabel.set(label, address)
  }
  const archive = byLabel.get('Debian')
  const security = byLabel.get('Debian-Security')
  if (archive === undefined) throw new CloisterError('guest-image.mirror-unknown')
  return { archive, ...(security !== undefined && { security }) }
}
