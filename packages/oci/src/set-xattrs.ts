/**
 * Sets the extended attributes of a layer by one run of `setfattr`, for Node has no call that does. Not in the thread that unpacks: what starts
 * programs cannot be loaded there (`unpack-worker`).
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CloisterError } from '@cloister/protocol/error'

const TIMEOUT_MS = 120_000

/**
 * Call after everything else of the layer, when no change of owner takes file capabilities away again.
 *
 * @param program - path of setfattr (Debian's package attr)
 * @param root - absolute path of the root file system, to which nobody else writes
 * @param input - what the program reads, of {@link LayerXattrs.restorable}; empty: nothing is done
 * @throws CloisterError `image.entry-refused` when the file system or the kernel does not take one
 */
export async function setXattrs(program: string, root: string, input: Uint8Array): Promise<void> {
  if (input.length === 0) return
  const running = promisify(execFile)(program, ['--no-dereference', '--restore=-'], {
    cwd: root,
    env: { LC_ALL: 'C' },
    timeout: TIMEOUT_MS,
  })
  // A program that does not want its input closes it.
  running.child.stdin?.on('error', () => undefined).end(input)
  try {
    await running
  } catch (cause) {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string }
    if (typeof code !== 'number')
      throw new CloisterError('internal.bug', { why: 'setfattr cannot be run', cause })
    const [first = ''] = stderr.split('\n', 1)
    throw new CloisterError('image.entry-refused', {
      where: 'extended attributes',
      why: `one cannot be set: ${first.replace(/[^ -~]/g, '?').slice(0, 300)}`,
    })
  }
}
