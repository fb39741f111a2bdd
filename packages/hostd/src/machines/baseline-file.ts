/** The integrity baseline that an owner stored; hostd keeps it and reads nothing in it. */
import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { BaselineSchema } from '@cloister/protocol/hostd-vm-api'
import { writeDurably } from '../durable-file.ts'

/** @throws CloisterError `vm.baseline-unknown` */
export async function readBaseline(file: string): Promise<object> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new CloisterError('vm.baseline-unknown', { cause })
  }
  return BaselineSchema.parse(JSON.parse(text))
}

export async function writeBaseline(file: string, baseline: object): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeDurably(file, JSON.stringify(baseline))
}
