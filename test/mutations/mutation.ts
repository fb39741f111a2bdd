/** One check of the product taken away, and the test that must then fail. */

/** URL of the repository, with a slash at its end. */
export const REPOSITORY = new URL('../../', import.meta.url).href
/** Names the mutation to {@link file://./replace-on-load.ts}. */
export const MUTATION_VARIABLE = 'CLOISTER_MUTATION'

export interface Edit {
  /** From the root of the repository. */
  readonly file: string
  /** Stands in the file exactly once. */
  readonly find: string
  readonly replace: string
}

export interface Mutation {
  /** Of lower-case words and hyphens; what was taken away. */
  readonly name: string
  readonly edits: readonly Edit[]
  /** The file of the test. */
  readonly test: string
  /** Whole name of a test in it. */
  readonly fails: string
  /** Whether the edits stand in a program that the test starts, not in what it imports. Absent: no. */
  readonly inProgram?: boolean
  /** What its failure says: that the attack came through, or the code of the next layer, which caught it. */
  readonly says: string
}

/** @throws RangeError when the text is not there exactly once */
export function mutated(source: string, { file, find, replace }: Edit): string {
  const [before, after, ...others] = source.split(find)
  if (before === undefined || after === undefined || others.length > 0)
    throw new RangeError(`not once in ${file}: ${find}`)
  return before + replace + after
}
