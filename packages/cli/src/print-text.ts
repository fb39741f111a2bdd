import { escapeText } from './escape-text.ts'

/** Text of files that may be anybody's: to a terminal harmless, to a file or another program as it is. */
export function printText(
  text: string,
  to: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stdout,
): void {
  to.write(to.isTTY ? escapeText(text) : text)
}
