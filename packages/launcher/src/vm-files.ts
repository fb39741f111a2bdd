/** Names of a VM's files in its two directories, and how those are made and removed. */
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { VmDirectories } from './vm-spec.ts'

/** Sockets in the runtime directory. QEMU runs inside it and makes them by these relative names. */
export const SOCKETS = {
  qmp: 'qmp.sock',
  stage: 'stage.sock',
  agent: 'agent.sock',
  net: 'net.sock',
  tee: 'tee.sock',
  console: 'console.sock',
  vtpm: 'vtpm.sock',
} as const

/** In the runtime directory: what QEMU of a machine of `cloister vm` says on its control socket. */
export const CONTROL_LOG = 'qmp.log'

/** Files in the state directory. */
export const STATE_FILES = {
  initdata: 'initdata.img',
  scratch: 'scratch.img',
  sevCertificate: 'sev-certificate.b64',
  sevSession: 'sev-session.b64',
  launchContext: 'launch-context.json',
  memory: 'memory.dump',
} as const

/** unix(7): sun_path holds 108 bytes with its NUL. */
const MAX_SOCKET_PATH_BYTES = 107

/**
 * Makes both directories, mode 0700, owned by this process.
 * @throws CloisterError `vm.socket-path-too-long`, `vm.id-taken`, `vm.folder-denied`, `host.disk-full`
 */
export async function makeDirectories(directories: VmDirectories): Promise<void> {
  const { runtimeDirectory, stateDirectory } = directories
  for (const name of Object.values(SOCKETS)) {
    const path = join(runtimeDirectory, name)
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
      throw new CloisterError('vm.socket-path-too-long', { where: path })
  }
  await makeNew(runtimeDirectory)
  try {
    await makeNew(stateDirectory)
  } catch (error) {
    await rm(runtimeDirectory, { recursive: true, force: true })
    throw error
  }
}

async function makeNew(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    throw writeError(error, path)
  }
}

export async function removeDirectories(directories: VmDirectories): Promise<void> {
  await Promise.all(
    [directories.runtimeDirectory, directories.stateDirectory].map((path) =>
      rm(path, { recursive: true, force: true }),
    ),
  )
}

/** Gives a failure to read a boot file its code. Anything else is given back as it is. */
export function readError(error: unknown, where: string): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return new CloisterError('vm.file-missing', { where, cause: error })
  if (code === 'EACCES' || code === 'EPERM')
    return new CloisterError('vm.file-unreadable', { where, cause: error })
  return error
}

/** Gives a failure to make or write something of a VM's its code. Anything else is given back as it is. */
export function writeError(error: unknown, where: string): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EEXIST') return new CloisterError('vm.id-taken', { where, cause: error })
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new CloisterError('host.disk-full', { where, cause: error })
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new CloisterError('vm.folder-denied', { where, cause: error })
  return error
}
