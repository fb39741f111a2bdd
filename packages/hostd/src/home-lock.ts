/** One hostd for one home: a lock that the kernel gives back when its holder dies, however it dies. */
import { DatabaseSync } from 'node:sqlite'
import { diskFull } from '@cloister/protocol/disk-full'
import { CloisterError } from '@cloister/protocol/error'

/**
 * Takes the lock of a file. Node has no flock; SQLite's exclusive lock is the same kind (fcntl), needs no helper process and no pid file.
 *
 * @returns the lock; it lasts until it is disposed of
 * @throws CloisterError `hostd.already-running`, `host.disk-full`
 */
export function lockHome(path: string): Disposable {
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw (
      diskFull(cause, path) ?? new CloisterError('hostd.already-running', { where: path, cause })
    )
  }
  return { [Symbol.dispose]: () => database.close() }
}
