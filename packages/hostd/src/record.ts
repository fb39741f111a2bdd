/**
 * What hostd keeps of a workload on disk, `workload.json`: enough to go on with it after a restart of hostd. Beside it lie
 * `initdata.toml` (the exact bytes) and `logs/`.
 */
import { z } from 'zod'
import type { VmState } from '@cloister/launcher/vm-spec'
import {
  StartRequestSchema,
  WorkloadViewSchema,
  type WorkloadDetail,
  type WorkloadView,
} from '@cloister/protocol/hostd-api'

/**
 * How far the host's part of the start has come; the step after it may or may not have happened when hostd dies.
 * `taken`: on disk. `launched`: QEMU runs and `vm` is known. `sandbox`, `container`, `started`: that request was answered.
 */
const STEPS = ['taken', 'launched', 'sandbox', 'container', 'started'] as const
export type Step = (typeof STEPS)[number]

/** Whether `step` was reached on the way to `now`. */
export function isPast(now: Step, step: Step): boolean {
  return STEPS.indexOf(now) >= STEPS.indexOf(step)
}

export const WorkloadRecordSchema = z.strictObject({
  version: z.literal(1),
  request: StartRequestSchema.omit({ initdata: true }),
  view: WorkloadViewSchema,
  step: z.enum(STEPS),
  /** The container's id in the guest and what the agent's policy lets the host ask, from the initdata. */
  container: z.strictObject({
    id: z.string(),
    readStdout: z.boolean(),
    readStderr: z.boolean(),
    signal: z.boolean(),
  }),
  /** The launcher's, opaque here. */
  vm: z.custom<VmState>((value) => typeof value === 'object' && value !== null).optional(),
})

export interface WorkloadRecord extends Omit<z.infer<typeof WorkloadRecordSchema>, 'view'> {
  view: WorkloadView
}

export function detailOf(view: WorkloadView, initdata: Uint8Array): WorkloadDetail {
  return { ...view, initdata: Buffer.from(initdata).toString('base64') }
}
