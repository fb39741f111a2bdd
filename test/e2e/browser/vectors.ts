/** Stands in for the verifier's `testing/vectors.ts` in a browser: the recorded samples from the server that brought this page. */
export const WITH_VECTORS: { readonly skip: string | false } = { skip: false }

export function vectorPath(path: string): string {
  return `/vectors/${path}`
}

/** Synchronous, as the tests expect it. */
export function vector(path: string): Uint8Array<ArrayBuffer> {
  const request = new XMLHttpRequest()
  request.open('GET', vectorPath(path), false)
  // One character for each byte.
  request.overrideMimeType('text/plain; charset=x-user-defined')
  request.send()
  if (request.status !== 200) throw new Error(`no sample ${path}`)
  const text = request.responseText
  return Uint8Array.from({ length: text.length }, (_, index) => text.charCodeAt(index) & 0xff)
}
