/**
 * The integrity baseline of a VM: what its boot should measure, learned from a boot that the owner trusts or predicted from its disk image. JSON,
 * kept by hostd for the owner, so whoever runs the host can change it.
 */
import { z } from 'zod'

const Hex = z
  .string()
  .regex(/^(?:[0-9a-f]{2})+$/)
  .max(128)
const Pcr = z.int().min(0).max(23)

const BaselineEventSchema = z.strictObject({
  pcr: Pcr,
  /** What the event is about, such as `shim` or `kernel command line`. */
  component: z.string().min(1).max(40),
  /** Name of the event's type in the TCG specification. */
  event: z.string().min(1).max(60),
  digest: Hex,
  /** Name of a variable or file, or a command: a label. */
  subject: z.string().max(512).exactOptional(),
  /** Data of a partition table's event, hex. */
  data: z
    .string()
    .regex(/^(?:[0-9a-f]{2})+$/)
    .max(16_384)
    .exactOptional(),
})

/** As in `verifier/eventlog/integrity-baseline`, which says what each is; a test compares them. */
export const BASELINE_KNOWLEDGE = [
  'exact',
  'sequence',
  'members',
  'begins',
  'command-lines',
  'outline',
  'boot-entries',
] as const

export const IntegrityBaselineSchema = z.strictObject({
  version: z.literal(1),
  origin: z.enum(['learned', 'predicted']),
  /** Bank of the digests. */
  bank: z.enum(['sha256', 'sha384', 'sha512']),
  registers: z
    .array(
      z.strictObject({
        pcr: Pcr,
        /** How much is known of this PCR. */
        knowledge: z.enum(BASELINE_KNOWLEDGE),
        events: z.array(BaselineEventSchema).max(4096),
        /** Only with `exact`. */
        value: Hex.exactOptional(),
        /** Indexes of events with any digest; only with `outline`. */
        open: z.array(z.int().min(0).max(4095)).max(64).exactOptional(),
      }),
    )
    .max(24),
  /** What a prediction does not know, and why. */
  unknown: z
    .array(z.strictObject({ pcr: Pcr, why: z.string().min(1).max(400) }))
    .max(24)
    .exactOptional(),
})
