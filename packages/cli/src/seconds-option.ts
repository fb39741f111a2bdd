import { CloisterError } from '@cloister/protocol/error'

/** The milliseconds of an option given in seconds, from 0 to `most` seconds. @throws CloisterError `cli.usage` */
export function milliseconds(option: string, text: string, most: number): number {
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0 && seconds <= most) return Math.round(seconds * 1000)
  throw new CloisterError('cli.usage', {
    why: `--${option} is not a number of seconds`,
    expected: `0 to ${most}`,
    received: text.slice(0, 40),
  })
}
