/** Whether this owner's broker asks AMD for revocation lists and Intel for collateral: decided by `broker start`, remembered for brokers that other commands start. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { writeWhole } from '@cloister/launcher/write-whole'
import type { Directories } from '@cloister/protocol/directories'
import { readOwnerJson } from './read-owner-json.ts'

const SettingSchema = z.strictObject({
  /** Address of a mirror; absent: AMD's service. */
  kds: z.url().optional(),
  /** Address of a PCCS; absent: Intel's service. */
  pcs: z.url().optional(),
})
export type FetchSetting = z.infer<typeof SettingSchema>

/** Undefined: nobody is asked. @throws CloisterError `owner.pin-unreadable` */
export function readFetchSetting(
  directories: Pick<Directories, 'broker'>,
): FetchSetting | undefined {
  return readOwnerJson(fileOf(directories), SettingSchema)
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
