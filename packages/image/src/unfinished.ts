/** Directories that a build fills and then puts in place as a whole, so that nobody ever sees half of one. */
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Beginning of the names of directories that no build has finished; hidden from lists of images. */
const UNFINISHED = '.unfinished.'

/** Makes one below `parent`, and removes those of builds that were killed: their names say which process made them. */
export async function makeUnfinished(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true })
  for (const entry of await readdir(parent)) {
    if (!entry.startsWith(UNFINISHED)) continue
    const pid = Number(entry.slice(UNFINISHED.length).split('.')[0])
    if (!isAlive(pid)) await rm(join(parent, entry), { recursive: true, force: true })
  }
  const made = await mkdtemp(join(parent, `${UNFINISHED}${process.pid}.`))
  await chmod(made, 0o755)
  return made
}

/** Of two builds of one name at the same time the later one stays. */
export async function replaceDirectory(made: string, target: string): Promise<void> {
  const old = `${made}.old`
  try {
    await rename(target, old).catch(ignore('ENOENT'))
    await rename(made, target).catch(async (error: unknown) => {
      ignore('ENOTEMPTY', 'EEXIST')(error)
      await rm(target, { recursive: true, force: true })
      await rename(made, target)
    })
  } finally {
    await rm(old, { recursive: true, force: true })
  }
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

function ignore(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes(errorCode(error))) throw error
  }
}
