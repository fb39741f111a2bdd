/** All built-ins of the language. */
import { AGGREGATES } from './aggregates.ts'
import { COLLECTIONS } from './collections.ts'
import { CRYPTO } from './crypto.ts'
import { DOCUMENTS } from './documents.ts'
import { ENCODINGS } from './encodings.ts'
import { NETWORKS } from './networks.ts'
import type { Builtin, Builtins } from './registry.ts'
import { REGEXES } from './regexes.ts'
import { STRINGS } from './strings.ts'
import { TOKENS } from './tokens.ts'
import { TIMES } from './times.ts'
import { VERSIONS_AND_UNITS } from './versions-and-units.ts'
import { RegoObject } from '../value.ts'

/** `print` is compiled in line; this entry gives it a name and lets any number of arguments pass. */
const PRINT: Builtin = { arity: 1, variadic: true, call: () => true }

/** What depends on the machine is empty: an evaluation is a function of its arguments. */
const RUNTIME: Builtin = { arity: 0, call: () => RegoObject.empty }

/** Notes for `explain`; always true. */
const TRACE: Builtin = { arity: 1, call: () => true }

export const STANDARD_BUILTINS: Builtins = new Map(
  Object.entries({
    ...AGGREGATES,
    ...COLLECTIONS,
    ...STRINGS,
    ...REGEXES,
    ...ENCODINGS,
    ...TIMES,
    ...VERSIONS_AND_UNITS,
    ...DOCUMENTS,
    ...NETWORKS,
    ...CRYPTO,
    ...TOKENS,
    print: PRINT,
    trace: TRACE,
    'opa.runtime': RUNTIME,
  }),
)
