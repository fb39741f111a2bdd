/** What a serial console wrote, as lines for a terminal: colours go, carriage returns before line ends go, all else that could act is made visible. */
import { escapeText } from '../escape-text.ts'

// oxlint-disable-next-line no-control-regex -- colour sequences start with the escape character
const COLOUR = /\u001B\[[0-9;]*m/g

export function plainConsole(text: string): string {
  return escapeText(text.replaceAll(COLOUR, '').replaceAll(/\r+(?=\n|$)/g, ''))
}
