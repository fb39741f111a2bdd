import { CloisterError } from '@cloister/protocol/error'
import { textOption, type CommandLine } from './command.ts'

/** `--nonce` as bytes; absent when not given. @throws CloisterError `cli.usage` */
export function nonceOption(line: CommandLine): Uint8Array | undefined {
  const text = textOption(line, 'nonce')
  if (text === undefined) return undefined
  if (/^(?:[0-9a-fA-F]{2}){16,64}$/.test(text)) return Buffer.from(text, 'hex')
  throw new CloisterError('cli.usage', {
    why: '--nonce is malformed',
    expected: '16 to 64 bytes in hex',
    received: text.slice(0, 140),
  })
}
