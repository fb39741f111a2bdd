/**
 * Network cards on a bridge of the host: a tap device for each VM, made and removed by us with iproute2, opened by QEMU, whose uid owns it
 * and which has no other right on the network.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'
import { CloisterError } from '@cloister/protocol/error'

const IP_TIMEOUT_MS = 10_000

/** Unique on the host as the directory is; IFNAMSIZ leaves 15 characters. */
export function tapName(runtimeDirectory: string): string {
  return `clo${createHash('sha256').update(runtimeDirectory).digest('hex').slice(0, 12)}`
}

/** @throws CloisterError `network.bridge-missing` */
export async function requireBridge(bridge: string): Promise<void> {
  if (!(await isThere(`/sys/class/net/${bridge}/bridge`)))
    throw new CloisterError('network.bridge-missing', { where: bridge })
}

/**
 * A tap that is up and on the bridge.
 * @param uid - that may open it. Absent: this process's
 * @throws CloisterError `network.bridge-missing`, `network.denied`; nothing is left then
 */
export async function makeTap(
  name: string,
  bridge: string,
  uid: number | undefined,
): Promise<void> {
  await requireBridge(bridge)
  // One that a crash of the host's programs left; nobody else makes such names.
  await removeTap(name)
  const owner = String(uid ?? process.getuid?.() ?? 0)
  await ip('tuntap', 'add', 'dev', name, 'mode', 'tap', 'user', owner)
  try {
    await ip('link', 'set', 'dev', name, 'master', bridge, 'up')
  } catch (error) {
    await removeTap(name)
    throw error
  }
}

/** Nothing happens when there is none. @throws CloisterError `network.denied` */
export async function removeTap(name: string): Promise<void> {
  if (await isThere(`/sys/class/net/${name}`)) await ip('link', 'delete', 'dev', name)
}

async function ip(...words: string[]): Promise<void> {
  try {
    await promisify(execFile)('ip', words, {
      timeout: IP_TIMEOUT_MS,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    })
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string }
    throw new CloisterError('network.denied', {
      where: `ip ${words.join(' ')}`,
      received: (stderr?.trim() || message).slice(0, 200),
    })
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
