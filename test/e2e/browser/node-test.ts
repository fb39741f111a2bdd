/** Stands in for `node:test` in a browser: collects what a test file registers, to be run one after the other. */
interface Options {
  readonly skip?: string | boolean
}

type Body = (context: unknown) => unknown

export interface Registered {
  readonly name: string
  readonly body: Body
}

export const registered: Registered[] = []

export function test(name: string, options: Options | Body, body?: Body): void {
  if (typeof options === 'function') registered.push({ name, body: options })
  else if (body !== undefined && (options.skip ?? false) === false) registered.push({ name, body })
}
