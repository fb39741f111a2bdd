/** What was predicted of a VM's machine when it was made or resized, in `owner/vms/<name>/machine.json`: to be held against the log of a machine that is to be accepted. */
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
  /** Of the host's processors, as the owner named them; absent: they were not named. */
  processorId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
})

export interface KeptPrediction {
  readonly events: readonly MachineEvent[]
  /** 8 bytes. */
  readonly processorId: Uint8Array | undefined
}

export async function keepPrediction(
  { owner }: Pick<Directories, 'owner'>,
  name: string,
  { events, processorId }: KeptPrediction,
): Promise<void> {
  const folder = join(owner, 'vms', name)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const kept: z.input<typeof KeptSchema> = {
    version: 1,
    events: events.map(({ event, digest }) => ({
      event,
      digest: digest === undefined ? null : toHex(digest),
    })),
    ...(processorId !== undefined && { processorId: toHex(processorId) }),
  }
  await replaceFile(join(folder, 'machine.json'), `${JSON.stringify(kept)}\n`)
}

/** Nothing of a VM that was made elsewhere, or whose file cannot be read: it only explains. */
export async function readPrediction(
  { owner }: Pick<Directories, 'owner'>,
  name: string,
): Promise<KeptPrediction> {
  const text = await readFile(join(owner, 'vms', name, 'machine.json'), 'utf8').catch(() => '')
  const kept = KeptSchema.safeParse(jsonOf(text))
  if (!kept.success) return { events: [], processorId: undefined }
  const { events, processorId } = kept.data
  return {
    events: events.map(({ event, digest }) => ({
      event,
      ...(digest !== null && { digest: fromHex(digest) }),
    })),
    processorId: processorId === undefined ? undefined : fromHex(processorId),
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
