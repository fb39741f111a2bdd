/** What the agent wants of a pull: by whom it is done is the matter of who starts the guest. */
import type { Duplex } from 'node:stream'
import type { Workload } from '@cloister/protocol/workload'
import type { ImageConfig } from '@cloister/oci/manifest'

export interface PullOptions {
  readonly workload: Workload
  /** Becomes the root file system; must not exist. */
  readonly directory: string
  /** Settles when files can be written there. Absent: at once. */
  readonly place?: Promise<void>
  readonly openTarget: (target: string, signal: AbortSignal) => Promise<Duplex>
  readonly getResource: (path: string, signal: AbortSignal) => Promise<Uint8Array>
  readonly signal: AbortSignal
  /** The program of the thread that unpacks large images. Absent: the one in the source tree. */
  readonly unpackWorker?: URL
}

export interface PulledImage {
  readonly digest: string
  readonly config: ImageConfig
}

export type PullImage = (options: PullOptions) => Promise<PulledImage>
