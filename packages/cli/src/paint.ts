/** Colours for people; without colour each function gives its text back. Only `verified` is green. */
export interface Painter {
  bold(text: string): string
  dim(text: string): string
  green(text: string): string
  red(text: string): string
  yellow(text: string): string
  violet(text: string): string
}

export function paint(enabled: boolean): Painter {
  const style = (code: string) => (text: string) =>
    enabled ? `\u001B[${code}m${text}\u001B[0m` : text
  return {
    bold: style('1'),
    dim: style('2'),
    green: style('32'),
    red: style('31'),
    yellow: style('33'),
    violet: style('35'),
  }
}
