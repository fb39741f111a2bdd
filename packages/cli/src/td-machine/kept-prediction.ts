/** What was predicted of a VM's machine when it was made, in `owner/vms/<name>/machine.json`: to be held against the log of a machine that is to be accepted. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { replaceFile } from '@cloister/protocol/replace-file'
import { fromHex, toHex } from '@cloister/verifier/bytes/hex'
import type { MachineEvent } from '@cloister/verifier/tdx/machine-events'

const KeptSchema = z.strictObject({
  version: z.literal(1),
  events: z
    .array(
      z.strictObject({
        event: z.string().max(256),
        digest: z
          .string()
          .regex(/^[0-9a-f]{96}$/)
          .nullable(),
      }),
    )
    .max(256),
})

export async function keepPrediction(
  { owner }: Pick<Directories, 'owner'>,
  name: string,
  events: readonly MachineEvent[],
): Promise<void> {
  const folder = join(owner, 'vms', name)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const kept: z.input<typeof KeptSchema> = {
    version: 1,
    events: events.map(({ event, digest }) => ({
      event,
      digest: digest === undefined ? null : toHex(digest),
    })),
  }
  await replaceFile(join(folder, 'machine.json'), `${JSON.stringify(kept)}\n`)
}

/** Nothing of a VM that was made elsewhere, or whose file cannot be read: it only explains. */
export async function readPrediction(
  { owner }: Pick<Directories, 'owner'>,
  name: string,
): Promise<readonly MachineEvent[]> {
  const text = await readFile(join(owner, 'vms', name, 'machine.json'), 'utf8').catch(() => '')
  const kept = KeptSchema.safeParse(jsonOf(text))
  if (!kept.success) return []
  return kept.data.events.map(({ event, digest }) => ({
    event,
    ...(digest !== null && { digest: fromHex(digest) }),
  }))
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
