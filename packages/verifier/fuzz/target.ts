/** One thing that is fuzzed. */
export interface Target {
  readonly name: string
  /** Bytes to values, or the whole way to a status: they have different goals and speeds. */
  readonly kind: 'parse' | 'appraisal'
  /** Each form of the format once: what the tests cut and change everywhere. */
  readonly corpus: readonly Uint8Array[]
  /** Other samples of the same forms, for fuzzing alone. */
  readonly more: readonly Uint8Array[]
  /** May throw FormatError; anything else is a finding. */
  run(input: Uint8Array): unknown
}

export function parser(
  name: string,
  corpus: readonly Uint8Array[],
  run: Target['run'],
  more: readonly Uint8Array[] = [],
): Target {
  return { name, kind: 'parse', corpus, more, run }
}

export function appraisal(name: string, corpus: readonly Uint8Array[], run: Target['run']): Target {
  return { name, kind: 'appraisal', corpus, more: [], run }
}
