/** Escapes of Rego's quoted strings, which are JSON's. */

/** Decodes the text between the quotes; undefined when an escape is illegal. */
export function unescapeString(text: string): string | undefined {
  if (!text.includes('\\')) return hasControl(text) ? undefined : text
  try {
    // JSON's grammar is exactly Rego's here; JSON.parse is the runtime's own and linear.
    const value: unknown = JSON.parse(`"${text.replaceAll('\t', '\\t')}"`)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 && code !== 0x09) return true
  }
  return false
}
