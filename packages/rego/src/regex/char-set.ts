/** Sets of code points: what one step of a regular expression accepts. */

/** Pairs of first and last code point, or a property that the runtime knows (`\p{L}`). */
export interface CharSet {
  readonly ranges: readonly (readonly [number, number])[]
  readonly properties: readonly { readonly test: RegExp; readonly negated: boolean }[]
  readonly negated: boolean
}

export function setOf(ranges: readonly (readonly [number, number])[], negated = false): CharSet {
  return { ranges, properties: [], negated }
}

const DIGIT = [[0x30, 0x39]] as const
const WORD = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
] as const
// RE2's \s has no vertical tab.
const SPACE = [
  [0x09, 0x0a],
  [0x0c, 0x0d],
  [0x20, 0x20],
] as const

/** `\d`, `\w`, `\s` and their complements; ASCII only, as in RE2. */
export const PERL: Readonly<Record<string, CharSet>> = {
  d: setOf(DIGIT),
  D: setOf(DIGIT, true),
  w: setOf(WORD),
  W: setOf(WORD, true),
  s: setOf(SPACE),
  S: setOf(SPACE, true),
}

/** `[[:name:]]`. */
export const POSIX: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  ascii: [[0, 0x7f]],
  blank: [
    [0x09, 0x09],
    [0x20, 0x20],
  ],
  cntrl: [
    [0, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: DIGIT,
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  upper: [[0x41, 0x5a]],
  word: WORD,
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
}

/** A Unicode category or script by RE2's name; undefined when there is none. */
export function unicodeProperty(name: string): RegExp | undefined {
  for (const text of [`\\p{${name}}`, `\\p{Script=${name}}`]) {
    try {
      // One class on one character: nothing here can backtrack.
      if (/^[A-Za-z_]+$/.test(name)) return new RegExp(`^${text}$`, 'u')
    } catch {
      // Not this kind of property.
    }
  }
  return undefined
}

function contains(set: CharSet, code: number): boolean {
  const inRange = set.ranges.some(([low, high]) => code >= low && code <= high)
  if (inRange) return !set.negated
  const char = String.fromCodePoint(code)
  return set.properties.some(({ test, negated }) => test.test(char) !== negated) !== set.negated
}

/** The characters that are the same letter in another case. */
function folds(code: number): number[] {
  const char = String.fromCodePoint(code)
  const variants = [char.toLowerCase(), char.toUpperCase(), char.toUpperCase().toLowerCase()]
  // The Kelvin sign, the long s and the like fold to ASCII letters.
  if (char === 'k' || char === 'K') variants.push('\u212a')
  if (char === 's' || char === 'S') variants.push('\u017f')
  return variants.flatMap((text) => {
    const folded = text.codePointAt(0) ?? code
    return text.length === String.fromCodePoint(folded).length ? [folded] : []
  })
}

/** A test for single code points; ASCII by table. */
export function compileSet(set: CharSet, ignoreCase: boolean): (code: number) => boolean {
  const test = (code: number): boolean => {
    if (!ignoreCase) return contains(set, code)
    // A complement is taken after folding.
    const positive = { ...set, negated: false }
    return (
      (contains(positive, code) || folds(code).some((other) => contains(positive, other))) !==
      set.negated
    )
  }
  const ascii = Uint8Array.from({ length: 128 }, (_, code) => (test(code) ? 1 : 0))
  return (code) => (code < 128 ? ascii[code] === 1 : test(code))
}
