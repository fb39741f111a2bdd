/** The value, or undefined when it does not come in time. */
export async function within<Value>(
  value: Promise<Value>,
  timeoutMs: number,
): Promise<Value | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), timeoutMs)
  try {
    return await Promise.race([value, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
