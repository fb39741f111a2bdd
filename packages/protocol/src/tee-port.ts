/**
 * The port `cloister.tee` (simulated mode only): JSON lines from the guest's attester to the simulated secure processor on the host and
 * back. It plays the part of `SNP_GET_EXT_REPORT` of the kernel's SNP guest driver. Both sides hold the other for hostile.
 */
import { z } from 'zod'

export const TEE_PORT_LIMITS = {
  /** A request is about 200 bytes. */
  requestBytes: 1024,
  /** A report and three certificates are about 9 KiB in base64. */
  answerBytes: 64 << 10,
} as const

const RequestIdSchema = z.string().regex(/^[0-9a-f]{16}$/)

/** Asks for a report over 64 bytes. As the firmware has it, a guest at VMPL 0 may ask for one of VMPL 0 to 3. */
export const TeeRequestSchema = z.strictObject({
  id: RequestIdSchema,
  op: z.literal('report'),
  /** 64 bytes of REPORT_DATA, hex. */
  reportData: z.string().regex(/^[0-9a-f]{128}$/),
  vmpl: z.int().min(0).max(3),
})
export type TeeRequest = z.infer<typeof TeeRequestSchema>

/** `malformed`: not a request, answered under the id of zeros. `failed`: the processor could not make the report. */
const TEE_PORT_ERRORS = ['malformed', 'failed'] as const

/** The id of an answer to what was no request. */
export const TEE_PORT_NO_ID = '0000000000000000'

export const TeeAnswerSchema = z.union([
  z.strictObject({
    id: RequestIdSchema,
    /** The 1184 bytes of the attestation report. */
    report: z.base64(),
    /** The certificate table of an extended report (GHCB, SNP Extended Guest Request): VCEK, ASK, ARK. */
    certificates: z.base64(),
  }),
  z.strictObject({ id: RequestIdSchema, error: z.enum(TEE_PORT_ERRORS) }),
])
export type TeeAnswer = z.infer<typeof TeeAnswerSchema>
