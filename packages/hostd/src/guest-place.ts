/** Where in its start a guest was, in the words of an error. */

/** @param lastStage - absent, or `launch`: it reached none */
export function guestPlace(lastStage: string | undefined): string {
  return lastStage === undefined || lastStage === 'launch'
    ? 'guest, before its first stage'
    : `guest, after stage ${lastStage}`
}
