/** Who asks, as far as it is known. */
export interface Requester {
  readonly requestId: string
  /** By which bounds count: an IPv4 address, or a network of IPv6. */
  readonly address: string
}
