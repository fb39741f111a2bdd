/** A title and what is said under it. An empty title goes on with what stands above. */
export type TitledLine = readonly [title: string, text: string]

/** One line each, the texts below one another. */
export function titledLines(lines: readonly TitledLine[]): string {
  const width = Math.max(...lines.map(([title]) => title.length))
  return lines.map(([title, text]) => `${title.padEnd(width)}  ${text}`).join('\n')
}
