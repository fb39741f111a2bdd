import { createInterface } from 'node:readline/promises'

/** Asks on the terminal, where Enter alone is a yes; without one the answer is no unless `yes` was given. */
export async function confirm(
  question: string,
  yes: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  return await ask(`${question} [Y/n]`, /^(?:|y|yes)$/i, { yes, signal })
}

/** The same for what cannot be taken back, or lets somebody be trusted: Enter alone is a no. */
export async function confirmGrave(
  question: string,
  yes: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  return await ask(`${question} [y/N]`, /^(?:y|yes)$/i, { yes, signal })
}

async function ask(
  question: string,
  agreement: RegExp,
  { yes, signal }: { readonly yes: boolean; readonly signal: AbortSignal },
): Promise<boolean> {
  if (yes) return true
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  using terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} `, { signal })
  return agreement.test(answer.trim())
}
