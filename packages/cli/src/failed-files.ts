/** A reporter for `node --test`: the file of each test that failed, a line each. */
import type { TestEvent } from 'node:test/reporters'

/** @yields absolute paths, each once */
// Node takes a reporter by its default export.
export default async function* failedFiles(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const seen = new Set<string>()
  for await (const { type, data } of events) {
    if (type !== 'test:fail' || data.file === undefined || seen.has(data.file)) continue
    seen.add(data.file)
    yield `${data.file}\n`
  }
}
