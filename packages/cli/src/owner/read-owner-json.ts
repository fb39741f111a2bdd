/** A JSON file that the owner's commands keep, read and checked as a whole. */
import { readFileSync } from 'node:fs'
import type { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'

/** @returns undefined when the file is not there. @throws CloisterError `owner.pin-unreadable` */
export function readOwnerJson<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): z.infer<Schema> | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CloisterError('owner.pin-unreadable', { where: file, cause })
  }
}
