/** One thing that the owner looked at, as `verify` shows it: of the verifier, or one of our own. */
export interface TrustCheck {
  readonly code: string
  readonly outcome: 'pass' | 'fail' | 'undecided' | 'warning' | 'not-checked'
  readonly expected?: string
  readonly received?: string
  readonly where?: string
}
