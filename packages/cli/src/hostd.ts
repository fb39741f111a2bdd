/** The hostd of this user: found, or started for commands that need one. */
import type { HostdClient } from '@cloister/hostd/client'
import type { Invocation } from './command.ts'

export async function openHostd(invocation: Invocation): Promise<HostdClient> {
  const { ensureHostd } = await import('@cloister/hostd/ensure')
  return await ensureHostd(invocation.directories, { signal: invocation.signal })
}
