/** Reads the words of one command: its own options and those that every command has. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { FoundCommand } from './command-table.ts'
import {
  OUTPUT_FORMATS,
  type Command,
  type CommandLine,
  type OptionSpec,
  type OutputFormat,
} from './command.ts'

export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  output: { type: 'string', short: 'o', value: 'FORMAT', help: 'table, json, yaml or name' },
  quiet: { type: 'boolean', short: 'q', help: 'no talk on standard error' },
  'no-color': { type: 'boolean', help: 'no colour (so does the variable NO_COLOR)' },
  verbose: { type: 'boolean', help: 'stack traces and details' },
  timeout: { type: 'string', value: 'SECONDS', help: 'give up after this time' },
  help: { type: 'boolean', short: 'h', help: 'help for this command' },
}

/** @throws CloisterError `cli.usage` */
export function parseCommandLine(
  found: FoundCommand,
  command: Command,
  words: readonly string[],
): CommandLine {
  const { own, rest } = splitRest(words)
  const config: ParseArgsOptionsConfig = {}
  for (const [name, spec] of Object.entries({ ...COMMON_OPTIONS, ...command.options }))
    config[name] = {
      type: spec.type,
      ...(spec.short !== undefined && { short: spec.short }),
      ...(spec.multiple !== undefined && { multiple: spec.multiple }),
    }
  const { values, positionals } = parse(own, config, command)
  const [least, most] = command.positionals
  const helps = values['help'] === true
  if (!helps && (positionals.length < least || positionals.length > most))
    throw new CloisterError('cli.usage', {
      why: positionals.length < least ? 'an argument is missing' : 'there are too many arguments',
      expected: `cloister ${command.usage}`,
      received: `${positionals.length} argument(s)`,
      fix: [`cloister help ${found.name}`],
    })
  return {
    name: found.name,
    positionals,
    rest,
    options: values,
    format: formatOf(values['output']),
    quiet: values['quiet'] === true,
    color: values['no-color'] !== true && (process.env['NO_COLOR'] ?? '') === '',
    verbose: values['verbose'] === true,
    timeoutMs: timeoutOf(values['timeout']),
    directories: directories(),
  }
}

function splitRest(words: readonly string[]): { own: string[]; rest: string[] } {
  const at = words.indexOf('--')
  return at === -1
    ? { own: [...words], rest: [] }
    : { own: words.slice(0, at), rest: words.slice(at + 1) }
}

function parse(args: string[], options: ParseArgsOptionsConfig, command: Command) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('. ')[0] : undefined
    throw new CloisterError('cli.usage', {
      ...(why !== undefined && { why }),
      expected: `cloister ${command.usage}`,
      fix: [`cloister help ${command.usage.split(/ (?=[[A-Z-])/)[0]}`],
      cause,
    })
  }
}

function formatOf(value: unknown): OutputFormat {
  const format = OUTPUT_FORMATS.find((known) => known === (value ?? 'table'))
  if (format === undefined)
    throw new CloisterError('cli.usage', {
      why: 'the output format is unknown',
      expected: OUTPUT_FORMATS.join(', '),
      received: typeof value === 'string' ? value.slice(0, 40) : '',
    })
  return format
}

function timeoutOf(value: unknown): number | undefined {
  if (value === undefined) return undefined
  const seconds = Number(value)
  if (!(seconds > 0 && seconds <= 86_400))
    throw new CloisterError('cli.usage', {
      why: 'the time-out is not a number of seconds',
      expected: 'more than 0 and at most 86400',
      received: typeof value === 'string' ? value.slice(0, 40) : '',
    })
  return seconds * 1000
}
