import { createInterface } from 'node:readline/promises'

/** Asks on the terminal; without one the answer is no unless `yes` was given. */
export async function confirm(
  question: string,
  yes: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  if (yes) return true
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  using terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} [Y/n] `, { signal })
  return /^(?:|y|yes)$/i.test(answer.trim())
}
