import { CloisterError } from '@cloister/protocol/error'
import { ERROR_CODES, type ErrorCode } from '@cloister/protocol/errors/catalogue'
import { CHECK_CODES, explainCheck, isCheckCode } from '@cloister/verifier/checks/catalogue'
import type { Command, Invocation } from '../command.ts'
import { nearestWords } from '../edit-distance.ts'
import { OWNER_CHECKS } from '../owner/owner-checks.ts'

export const command: Command = {
  usage: 'explain CODE',
  details:
    'CODE is what an error line or a check of evidence starts with. Without a match, codes that contain the word or are spelt alike are listed.',
  positionals: [1, 1],
  async run(invocation) {
    const [code = ''] = invocation.positionals
    if (Object.hasOwn(ERROR_CODES, code)) await explainError(code as ErrorCode, invocation)
    else await explainCheckCode(code, invocation)
  },
}

async function explainError(code: ErrorCode, { output }: Invocation): Promise<void> {
  const entry = ERROR_CODES[code]
  await output.object(
    { code, ...entry },
    {
      name: code,
      text: () =>
        [
          `${output.painter.bold(code)}  ${entry.title}`,
          `  why   ${entry.why}`,
          ...entry.fix.map((fix, index) => `  ${index === 0 ? 'fix' : '   '}   ${fix}`),
          `  exit  ${entry.exit}${entry.retryable === true ? ', the same command may succeed later' : ''}`,
        ].join('\n'),
    },
  )
}

/** @throws CloisterError `cli.unknown-code` */
async function explainCheckCode(code: string, { output }: Invocation): Promise<void> {
  const entry = isCheckCode(code) ? explainCheck(code) : ownerCheck(code)
  if (entry === undefined) throw unknownCode(code)
  await output.object(
    { code, ...entry },
    {
      name: code,
      text: () =>
        [
          `${output.painter.bold(code)}  ${entry.meaning}`,
          `  why   ${entry.cause}`,
          `  fix   ${entry.fix}`,
          '  a check of evidence: `pass` means that this failure is absent',
        ].join('\n'),
    },
  )
}

function ownerCheck(code: string) {
  return Object.hasOwn(OWNER_CHECKS, code) ? OWNER_CHECKS[code] : undefined
}

function unknownCode(word: string): CloisterError {
  const codes = [...Object.keys(ERROR_CODES), ...Object.keys(OWNER_CHECKS), ...CHECK_CODES]
  const wanted = word.toLowerCase()
  const containing = codes.filter((code) => wanted !== '' && code.includes(wanted))
  const near = containing.length > 0 ? containing : nearestWords(wanted, codes)
  return new CloisterError('cli.unknown-code', {
    received: word.slice(0, 60),
    fix:
      near.length > 0
        ? near.slice(0, 12).map((code) => `cloister explain ${code}`)
        : ['see docs/reference/errors.md and docs/reference/checks.md'],
  })
}
