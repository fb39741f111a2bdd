/** Words with a meaning of their own. Four of them are keywords in v0 only when imported. */

export const RESERVED = new Set([
  'as',
  'default',
  'else',
  'false',
  'import',
  'package',
  'not',
  'null',
  'some',
  'true',
  'with',
])

export const FUTURE_KEYWORDS = ['contains', 'every', 'if', 'in'] as const
export type FutureKeyword = (typeof FUTURE_KEYWORDS)[number]

export function isFutureKeyword(name: string): name is FutureKeyword {
  return (FUTURE_KEYWORDS as readonly string[]).includes(name)
}
