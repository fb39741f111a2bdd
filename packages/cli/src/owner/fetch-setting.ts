/** Whether this owner's broker asks AMD for its revocation lists: decided by `broker start`, remembered for brokers that other commands start. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { writeWhole } from '@cloister/launcher/write-whole'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'

const SettingSchema = z.strictObject({
  /** Address of a mirror; absent: AMD's service. */
  kds: z.url().optional(),
})
export type FetchSetting = z.infer<typeof SettingSchema>

/** Undefined: nobody is asked. @throws CloisterError `owner.pin-unreadable` */
export function readFetchSetting(
  directories: Pick<Directories, 'broker'>,
): FetchSetting | undefined {
  const file = fileOf(directories)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
  try {
    return SettingSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
}

/** @param setting - undefined forgets it */
export async function writeFetchSetting(
  directories: Pick<Directories, 'broker'>,
  setting: FetchSetting | undefined,
): Promise<void> {
  const file = fileOf(directories)
  if (setting === undefined) {
    rmSync(file, { force: true })
    return
  }
  await writeWhole(file, `${JSON.stringify(setting)}\n`)
}

function fileOf({ broker }: Pick<Directories, 'broker'>): string {
  return join(broker, 'fetch-endorsements.json')
}
