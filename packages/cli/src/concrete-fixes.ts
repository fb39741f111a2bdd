/** Fills the placeholders of an error's fixes with what is known, so that a fix can be copied as it stands. */
import { CloisterError } from '@cloister/protocol/error'

/** What needs no quoting in a shell, whoever said it. */
const PLAIN_WORD = /^[\w][\w.:@/+-]{0,200}$/
const RESOURCE_PATH = /^[\w-][\w.-]*\/[\w-][\w.-]*\/[\w-][\w.-]*$/
const GUEST_NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/

/**
 * @param name - of the command that failed, such as `vm create`
 * @param usage - of that command, such as `run IMAGE [options]`
 * @param positionals - its arguments, in the order of the usage
 */
export function concreteFixes(
  error: CloisterError,
  {
    name,
    usage,
    positionals,
  }: {
    readonly name: string
    readonly usage: string
    readonly positionals: readonly string[]
  },
): CloisterError {
  const known = new Map([
    ['COMMAND', name],
    ...ofError(error),
    ...ofCommandLine(usage, positionals),
  ])
  const { fix } = error.toJSON()
  const filled = fix.map((text) =>
    /(?:^|: )cloister /.test(text)
      ? text.replace(/\b[A-Z][A-Z_]+\b/g, (placeholder) => known.get(placeholder) ?? placeholder)
      : text,
  )
  if (filled.every((text, index) => text === fix[index])) return error
  const concrete = new CloisterError(error.code, { ...error.details, fix: filled })
  if (error.stack !== undefined) concrete.stack = error.stack
  return concrete
}

function* ofCommandLine(usage: string, positionals: readonly string[]) {
  const placeholders = usage.split(' ').filter((word) => /^[A-Z]/.test(word))
  for (const [index, value] of positionals.entries()) {
    const isOnly = positionals.length === index + 1
    // Of several names the error must say which one failed.
    const placeholder = isOnly ? placeholders[index]?.replace(/…$/, '') : placeholders[index]
    if (placeholder !== undefined && PLAIN_WORD.test(value)) yield [placeholder, value] as const
  }
}

function* ofError({ code, details: { where = '', requestId = '' } }: CloisterError) {
  if (/^[0-9a-f]{8,64}$/.test(requestId)) yield ['REQUEST_ID', requestId] as const
  if (RESOURCE_PATH.test(where)) yield ['SECRET', where] as const
  if (/^(?:workload|vm)\./.test(code) && GUEST_NAME.test(where)) yield ['NAME', where] as const
}
