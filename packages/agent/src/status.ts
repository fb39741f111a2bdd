/** What the guest says of itself to a host that asks. A token opens nothing without the agent's private key. */
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import type { StageName } from '@cloister/protocol/guest-names'

export interface GuestStatus {
  readonly stage: StageName
  readonly attestations: number
  /** Empty before the first handshake. */
  readonly token: string
  /** Empty before the image is there. */
  readonly imageDigest: string
  /** Empty when nothing failed. */
  readonly errorCode: ErrorCode | ''
  /** Of the broker's latest refusal; else empty. */
  readonly requestId: string
}
