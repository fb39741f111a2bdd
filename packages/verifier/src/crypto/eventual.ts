/** There at once where the runtime's cryptography is synchronous: a promise and a turn of the queue for every remembered key and check would be dear. */
export type Eventual<Value> = Value | Promise<Value>

/** What `use` makes of a value, at once if it is there. */
export function next<Value, Result>(
  value: Eventual<Value>,
  use: (value: Value) => Eventual<Result>,
): Eventual<Result> {
  return value instanceof Promise ? value.then(use) : use(value)
}
