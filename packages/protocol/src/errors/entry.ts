/** What the catalogue says of a code. */
export interface ErrorEntry {
  /** One sentence: what could not be done. */
  readonly title: string
  /** The usual cause. */
  readonly why: string
  /** Commands or steps that mend it; at least one. */
  readonly fix: readonly string[]
  /** HTTP status when it crosses an HTTP edge. */
  readonly status: number
  /** Exit code of the CLI. */
  readonly exit: 1 | 2 | 3 | 4 | 5 | 6 | 7
  /** Whether the same call may succeed later; absent means no. */
  readonly retryable?: boolean
}
