/** Bounds of the broker against hostile peers. Each is far above what guests and owners need. */
export interface BrokerLimits {
  /** Nonces of which it is known whether they were used, in number: more than can be given in the life of a session. A bit each. */
  readonly nonces: number
  /** Tokens that attested sessions hold, all together, bytes; beyond it the oldest go of the address that holds most. */
  readonly tokenBytes: number
  /** Life of a session from /auth, milliseconds. */
  readonly sessionMs: number
  /** Beyond it the oldest goes of the address that has most. */
  readonly connections: number
  /** New connections of one address that is not this machine's own: so many at once, and so many per second on the long run. */
  readonly connectionBurst: number
  readonly connectionsPerSecond: number
  /** Head of a request, bytes; tokens are a few KiB. */
  readonly headBytes: number
  /** Body of a request, bytes. */
  readonly bodyBytes: number
  /** Body of a Request (/auth), bytes. */
  readonly authBytes: number
  /** Body of a request of TPM enrolment, bytes. */
  readonly enrolmentBytes: number
  /** Body of a guest's refusal, bytes. */
  readonly refusalBytes: number
  /** Bodies under way, all together, bytes; beyond it the oldest goes of the address that sends most. */
  readonly bodiesBytes: number
  /** From connection or first byte to the end of the head, milliseconds. */
  readonly headMs: number
  /** From first byte to the end of the body, milliseconds. */
  readonly requestMs: number
  /** TLS handshake, milliseconds. */
  readonly handshakeMs: number
  /** What requests under way get when the broker stops, milliseconds. */
  readonly drainMs: number
  /** Requests of one address to each side: so many at once, and so many per second on the long run. */
  readonly burst: number
  readonly perSecond: number
  /** Attestations of one registered workload that stand in the audit one by one, in ten minutes: of one address, and of all. */
  readonly entriesPerAddress: number
  readonly entriesPerWorkload: number
  /** Addresses whose rate is remembered. */
  readonly addresses: number
  /** Texts of the audit's entries, bytes; beyond it the oldest go. A decision takes one to four KiB. */
  readonly auditBytes: number
}

export const BROKER_LIMITS: BrokerLimits = {
  nonces: 1 << 21,
  tokenBytes: 4 << 20,
  sessionMs: 300_000,
  connections: 1024,
  // As many as the requests that both sides answer: who keeps to those may open one for each.
  connectionBurst: 1200,
  connectionsPerSecond: 120,
  headBytes: 64 << 10,
  bodyBytes: 2 << 20,
  authBytes: 16 << 10,
  enrolmentBytes: 64 << 10,
  refusalBytes: 16 << 10,
  bodiesBytes: 32 << 20,
  headMs: 10_000,
  requestMs: 20_000,
  handshakeMs: 10_000,
  drainMs: 5000,
  burst: 600,
  perSecond: 60,
  entriesPerAddress: 100,
  entriesPerWorkload: 400,
  addresses: 4096,
  auditBytes: 1 << 30,
}
