/**
 * What the simulated secure processor keeps of one guest from its launch to its end, as the real one keeps a guest context. It
 * stands in the VM's state directory, so that reports go on after a restart of hostd.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { z } from 'zod'
import { writeError, STATE_FILES } from '../vm-files.ts'
import { writeWhole } from '../write-whole.ts'

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))

const LaunchContextSchema = z.strictObject({
  version: z.literal(1),
  /** Guest policy, hex of the u64. */
  policy: z.string().regex(/^[0-9a-f]{1,16}$/),
  hostData: hex(32),
  measurement: hex(48),
  /** Made at the launch, for each VM another. */
  reportId: hex(32),
  vcpuType: z.string(),
})
export type LaunchContext = z.infer<typeof LaunchContextSchema>

/** Writes it so that after a crash there is the whole of it or nothing. */
export async function saveLaunchContext(
  stateDirectory: string,
  context: LaunchContext,
): Promise<void> {
  const path = join(stateDirectory, STATE_FILES.launchContext)
  try {
    await writeWhole(path, JSON.stringify(context))
  } catch (error) {
    throw writeError(error, path)
  }
}

/** @throws CloisterError `simulator.context-unreadable` */
export async function loadLaunchContext(stateDirectory: string): Promise<LaunchContext> {
  const path = join(stateDirectory, STATE_FILES.launchContext)
  try {
    return LaunchContextSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    throw new CloisterError('simulator.context-unreadable', { where: path, cause: error })
  }
}
