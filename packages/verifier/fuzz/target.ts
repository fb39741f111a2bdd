/** One thing that is fuzzed. */
export interface Target {
  readonly name: string
  /** Bytes to values, or the whole way to a status: they have different goals and speeds. */
  readonly kind: 'parse' | 'appraisal'
  readonly corpus: readonly Uint8Array[]
  /** May throw FormatError; anything else is a finding. */
  run(input: Uint8Array): unknown
}

export function parser(name: string, corpus: readonly Uint8Array[], run: Target['run']): Target {
  return { name, kind: 'parse', corpus, run }
}

export function appraisal(name: string, corpus: readonly Uint8Array[], run: Target['run']): Target {
  return { name, kind: 'appraisal', corpus, run }
}
