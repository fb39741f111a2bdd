/** What one device gave. */
export interface NvidiaDevice {
  /** SPDM request and response. */
  readonly report: Uint8Array
  /** The device's chain, DER or PEM. Absent where it comes with the endorsements. */
  readonly certificates?: readonly Uint8Array[]
  /** As NVIDIA's tools name it: `HOPPER`, `BLACKWELL`, `LS10`; unsigned. */
  readonly arch?: string
  /** Unsigned. */
  readonly uuid?: string
}

/** All GPUs or switches of one guest. */
export interface NvidiaEvidence {
  readonly devices: readonly NvidiaDevice[]
}
