/**
 * Which mirror of Debian this machine uses, as its own apt says it. Nothing here names a host: the mirror is an untrusted
 * carrier, for apt checks all that it brings by Debian's keys.
 */
import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from './run.ts'
import { configureApt } from './apt-configuration.ts'
import { run } from './run.ts'

export interface DebianMirrors {
  /** Base address of the archive, in the form of apt's sources. */
  readonly archive: string
  /** Base address of the security archive. Absent: this machine uses none. */
  readonly security?: string
}

const FORMAT = '$(ORIGIN)|$(LABEL)|$(REPO_URI)'
const LIST_TARGETS = ['indextargets', '--format', FORMAT, 'Created-By: Packages'] as const

/**
 * Asks apt. It knows what a source is only after an update; where there was none (container images come so), the machine's
 * sources are read into a state of our own.
 *
 * @param work - a directory that does not exist yet
 * @throws CloisterError `guest-image.mirror-unknown`
 */
export async function debianMirrors(work: string, context: BuildContext): Promise<DebianMirrors> {
  const known = mirrorsFromListing(await run('apt-get', LIST_TARGETS, context))
  if (known !== undefined) return known
  const env = await configureApt(work, undefined, context)
  // One source of several that fails is no matter here, and apt says so by an exit status of 0.
  await run('apt-get', ['update'], { ...context, env }).catch((cause: unknown) => {
    context.signal?.throwIfAborted()
    throw new CloisterError('guest-image.mirror-unknown', { cause })
  })
  const found = mirrorsFromListing(await run('apt-get', LIST_TARGETS, { ...context, env }))
  if (found === undefined) throw new CloisterError('guest-image.mirror-unknown')
  return found
}

/**
 * Reads lines `origin|label|address` of `apt-get indextargets`; the first of a label counts.
 *
 * @returns undefined when none is of Debian's archive
 */
export function mirrorsFromListing(listing: string): DebianMirrors | undefined {
  const byLabel = new Map<string, string>()
  for (const line of listing.split('\n')) {
    const [origin, label, address] = line.split('|')
    if (origin !== 'Debian' || label === undefined || address === undefined) continue
    if (!byLabel.has(label)) byLabel.set(label, address)
  }
  const archive = byLabel.get('Debian')
  const security = byLabel.get('Debian-Security')
  if (archive === undefined) return undefined
  return { archive, ...(security !== undefined && { security }) }
}
