/** How one conformance case ended. */
export interface Outcome {
  readonly name: string
  /** Absent: passed. */
  readonly failure?: string
}

/** Runs a case that tells its failure or throws it. */
export function outcome(name: string, run: () => string | undefined): Outcome {
  try {
    const failure = run()
    return failure === undefined ? { name } : { name, failure }
  } catch (error) {
    return { name, failure: `threw ${error instanceof Error ? error.message : String(error)}` }
  }
}
