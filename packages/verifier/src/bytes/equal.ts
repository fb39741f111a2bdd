/** Whether `bytes[start..end]` is all of `wanted`; stops at the first difference, so it is for what is public. */
export function equalsRange(
  bytes: Uint8Array,
  start: number,
  end: number,
  wanted: Uint8Array,
): boolean {
  if (end - start !== wanted.length) return false
  for (let at = 0; at < wanted.length; at++) if (bytes[start + at] !== wanted[at]) return false
  return true
}

/** The same of ASCII text. */
export function isTextAt(bytes: Uint8Array, start: number, end: number, wanted: string): boolean {
  if (end - start !== wanted.length) return false
  for (let at = 0; at < wanted.length; at++)
    if (bytes[start + at] !== wanted.charCodeAt(at)) return false
  return true
}

/** Compares in time that depends on the lengths only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let index = 0; index < a.length; index++)
    difference |= (a[index] as number) ^ (b[index] as number)
  return difference === 0
}
