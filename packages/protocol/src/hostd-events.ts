/** What hostd tells of all that it runs, as it happens. */
import { z } from 'zod'
import { WorkloadNameSchema, WorkloadViewSchema } from './hostd-api.ts'
import { VmViewSchema } from './hostd-vm-api.ts'

/**
 * One line of `GET /v1/events[?workload=NAME|?vm=NAME]`: first the view of each workload and machine, then a view whenever one changes. Views
 * in between may be left out when the reader is slow; the last one never is.
 */
export const HostdEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('workload'), workload: WorkloadViewSchema }),
  z.strictObject({ type: z.literal('vm'), vm: VmViewSchema }),
  z.strictObject({ type: z.literal('removed'), name: WorkloadNameSchema, id: z.string() }),
])
export type HostdEvent = z.infer<typeof HostdEventSchema>
