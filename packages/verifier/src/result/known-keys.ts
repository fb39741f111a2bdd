/**
 * Refuses options of a name that nobody reads: a misspelt demand would otherwise be no demand at all.
 *
 * @param known - one member for each name that is read
 * @throws TypeError
 */
export function refuseUnknownKeys(
  what: string,
  options: object,
  known: Readonly<Record<string, unknown>>,
): void {
  const unknown = Object.keys(options).find((key) => !Object.hasOwn(known, key))
  if (unknown !== undefined)
    throw new TypeError(`${what}.${unknown} is unknown; known are ${Object.keys(known).join(', ')}`)
}
