/** Byte fields of Evidence with what a caller may expect of them: one table per TEE, one way to read and check it. */
import type { CheckSink } from './check.ts'
import { checkExpected, expectedValues } from './expectation.ts'
import type { ExpectedBytes, FieldSize } from './expectation.ts'
import { refuseUnknownKeys } from './known-keys.ts'

export interface ExpectedField<Name extends string, Code extends string> {
  readonly name: Name
  readonly code: Code
  /** Bytes. */
  readonly size: FieldSize
  /** Whether leaving it out is the caller's mistake. */
  readonly demanded: boolean
}

export type Expectations<Name extends string, Code extends string> = readonly {
  readonly field: ExpectedField<Name, Code>
  readonly values: readonly Uint8Array[] | 'any'
}[]

/** Reads the caller's expectations before any Evidence is looked at. @throws TypeError, RangeError on a caller's mistake */
export function readExpectations<Name extends string, Code extends string>(
  fields: readonly ExpectedField<Name, Code>[],
  expect: Readonly<Partial<Record<Name, ExpectedBytes>>>,
): Expectations<Name, Code> {
  if (typeof expect !== 'object' || expect === null) throw new TypeError('expect is required')
  const isKnown = (key: string) => fields.some(({ name }) => name === key)
  if (!Object.keys(expect).every(isKnown))
    refuseUnknownKeys('expect', expect, Object.fromEntries(fields.map(({ name }) => [name, true])))
  return fields.map((field) => {
    const given = expect[field.name]
    if (given === undefined && field.demanded)
      throw new TypeError(`expect.${field.name} is missing; write 'any' to ignore it`)
    return { field, values: expectedValues(field.name, given ?? 'any', field.size) }
  })
}

/** @param received - the field of that name; undefined when the Evidence has none */
export function checkExpectations<Name extends string, Code extends string>(
  checks: CheckSink<Code>,
  expected: Expectations<Name, Code>,
  received: (name: Name) => Uint8Array | undefined,
): void {
  for (const { field, values } of expected)
    checkExpected(checks, field.code, values, received(field.name), field.name)
}
