/** Levenshtein distance, in which two neighbours that changed places are one edit; both words are cut to 24 characters. */
function editDistance(from: string, to: string): number {
  const a = from.slice(0, 24)
  const b = to.slice(0, 24)
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const substitution = (last[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const insertion = (current[column - 1] ?? 0) + 1
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      const swap = isSwapped ? (beforeLast[column - 2] ?? Infinity) + 1 : Infinity
      current.push(Math.min(substitution, insertion, (last[column] ?? 0) + 1, swap))
    }
    beforeLast = last
    last = current
  }
  return last[b.length] ?? 0
}

/** The words that `word` was probably meant to be: within two edits, or begun by it; the nearest first, three at most. */
export function nearestWords(word: string, known: readonly string[]): string[] {
  if (word === '') return []
  return (
    known
      .map((candidate) => {
        const begun = word.length >= 2 && candidate.startsWith(word)
        return { candidate, distance: begun ? 0 : editDistance(word, candidate) }
      })
      // Two edits make any two-letter word out of any other.
      .filter(({ candidate, distance }) => distance <= 2 && distance < candidate.length - 1)
      .sort((a, b) => a.distance - b.distance)
      .slice(0, 3)
      .map(({ candidate }) => candidate)
  )
}
