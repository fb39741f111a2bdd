import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'

/** Folder of the simulated processor's keys. */
export function simulatorDirectory(directories: Directories): string {
  return join(directories.hostd, 'simulator')
}
