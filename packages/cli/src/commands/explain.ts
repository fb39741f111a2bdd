import { CloisterError } from '@cloister/protocol/error'
import { ERROR_CODES, type ErrorCode } from '@cloister/protocol/errors/catalogue'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: 'explain CODE',
  details:
    'CODE is what an error line starts with. Without a match, codes that contain the word are listed.',
  positionals: [1, 1],
  async run({ positionals: [code = ''], output }) {
    if (!Object.hasOwn(ERROR_CODES, code)) throw unknownCode(code)
    const entry = ERROR_CODES[code as ErrorCode]
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
  },
}

function unknownCode(word: string): CloisterError {
  const near = Object.keys(ERROR_CODES).filter((code) => word !== '' && code.includes(word))
  return new CloisterError('cli.unknown-code', {
    received: word.slice(0, 60),
    fix:
      near.length > 0
        ? near.slice(0, 12).map((code) => `cloister explain ${code}`)
        : ['see docs/reference/errors.md'],
  })
}
