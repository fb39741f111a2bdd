/** Initdata is used only after its digest was found equal to what the hardware says the guest was launched with. */
import { CloisterError } from '@cloister/protocol/error'
import {
  initdataDigest,
  initdataField,
  parseAnyWorkload,
  parseInitdata,
  parseInitdataDisk,
  type Initdata,
} from '@cloister/protocol/initdata'
import { REPORT_DATA_BYTES } from '@cloister/protocol/report-data'
import type { AnyWorkload } from '@cloister/protocol/vm-workload'
import type { MeasuredAttester } from './attesters/attester.ts'
import type { AgentPolicy } from './policy/agent-policy.ts'
import { policyOf } from './policy/initdata-policy.ts'

export interface BoundInitdata<Subject extends AnyWorkload> {
  /** The exact bytes that are measured. */
  readonly document: Uint8Array
  readonly initdata: Initdata
  readonly workload: Subject
  /** Decides what the host may ask. */
  readonly policy: AgentPolicy
}

/**
 * Reads the initdata from its disk and compares it with HOST_DATA before anything in it counts. The report that tells HOST_DATA is over
 * zeros, leaves the guest by no way, and proves nothing to others.
 *
 * @throws CloisterError `initdata.*`, `agent.report-failed`
 */
export async function bindInitdata(
  disk: Uint8Array,
  attester: MeasuredAttester,
): Promise<BoundInitdata<AnyWorkload>> {
  // Asked before the disk is looked at: the answer takes its time.
  const reported = attester.attest(new Uint8Array(REPORT_DATA_BYTES))
  reported.catch(() => undefined)
  const document = parseInitdataDisk(disk)
  const { hostData } = await reported
  if (hostData.every((byte) => byte === 0)) throw new CloisterError('initdata.unmeasured')
  // Which digest was measured does not depend on what the document says of itself: it is SHA-256, as long as the field.
  const expected = initdataField(initdataDigest(document, 'sha256'), hostData.length)
  if (Buffer.compare(expected, hostData) !== 0)
    throw new CloisterError('initdata.mismatch', {
      expected: Buffer.from(hostData).toString('hex'),
      received: Buffer.from(expected).toString('hex'),
    })
  const initdata = parseInitdata(document)
  if (initdata.algorithm !== 'sha256')
    throw new CloisterError('initdata.malformed', {
      expected: 'algorithm sha256',
      received: initdata.algorithm,
    })
  const workload = parseAnyWorkload(initdata)
  return { document, initdata, workload, policy: await policyOf(initdata, workload) }
}
