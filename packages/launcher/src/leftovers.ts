/**
 * Clears what a killed hostd left: VMs that no state names. Each VM has one directory of its name in the runtime folder, and one in the
 * state folder; its QEMU and swtpm are found by their working directory, even if hostd died before it wrote down the pid.
 */
import { readFile, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { identifyProcess, killProcess } from './process-identity.ts'
import { removeTap, tapName } from './machine/tap.ts'
import { removeDirectories, SOCKETS } from './vm-files.ts'

export interface LeftoverFolders {
  /** Folder whose subfolders are runtime directories, named by VM id. */
  readonly runtime: string
  /** Folder whose subfolders are state directories, named likewise. */
  readonly state: string
}

/**
 * Kills and removes every VM in these folders but those to keep. Files beside the VMs' directories are not touched.
 * @returns the ids that were cleared
 */
export async function clearLeftovers(
  folders: LeftoverFolders,
  keep: ReadonlySet<string>,
): Promise<string[]> {
  const found = await Promise.all([subfolders(folders.runtime), subfolders(folders.state)])
  const ids = [...new Set(found.flat())].filter((id) => !keep.has(id))
  if (ids.length === 0) return []
  const runners = await processesByDirectory()
  for (const id of ids) {
    const runtimeDirectory = join(folders.runtime, id)
    for (const pid of runners.get(runtimeDirectory) ?? []) {
      const identity = await identifyProcess(pid)
      if (identity !== undefined && (await isOurs(pid, id))) await killProcess(identity)
    }
    // One that stays is replaced when a VM of that id starts.
    await removeTap(tapName(runtimeDirectory)).catch(() => {})
    await removeDirectories({ runtimeDirectory, stateDirectory: join(folders.state, id) })
  }
  return ids
}

/** What the command line of an swtpm of ours has. */
const VTPM_MARK = `type=unixio,path=${SOCKETS.vtpm},`

/** A person's shell may stand in the same directory. */
async function isOurs(pid: number, id: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const words = command.split('\0')
  return words.some(
    (word) => word.startsWith(`guest=cloister-${id},`) || word.startsWith(VTPM_MARK),
  )
}

/** Ids of VMs only: other folders may stand there. */
async function subfolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isDirectory() && /^[a-z0-9-]{1,20}$/.test(entry.name))
    .map((entry) => entry.name)
}

/** pids by working directory, as far as this user may see it. */
async function processesByDirectory(): Promise<Map<string, number[]>> {
  const byDirectory = new Map<string, number[]>()
  for (const name of await readdir('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const directory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
    if (directory === undefined) continue
    const pids = byDirectory.get(directory) ?? []
    byDirectory.set(directory, [...pids, pid])
  }
  return byDirectory
}
