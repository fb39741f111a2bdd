/** Reads the words of one command: its own options and those that every command has. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { Command, CommandLine, FoundCommand, OptionSpec } from './command.ts'
import { nearestWords } from './edit-distance.ts'
import { OUTPUT_FORMATS, type OutputFormat } from './output.ts'

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
  const { values, positionals } = parse(own, config, { found, command })
  const [least, most] = command.positionals
  const helps = values['help'] === true
  if (!helps && (positionals.length < least || positionals.length > most))
    throw new CloisterError('cli.usage', {
      ...(positionals.length < least
        ? { why: `${argumentName(found, command, positionals.length)} is missing` }
        : {
            why: 'there are too many arguments',
            received: positionals.slice(most).join(' ').slice(0, 60),
          }),
      expected: `cloister ${command.usage}`,
      fix: helpOf(found),
    })
  return {
    name: found.name,
    positionals,
    rest,
    options: values,
    format: formatOf(values['output'], found),
    quiet: values['quiet'] === true,
    color: values['no-color'] !== true && (process.env['NO_COLOR'] ?? '') === '',
    verbose: values['verbose'] === true,
    timeoutMs: timeoutOf(values['timeout'], found),
    directories: directories(),
  }
}

function splitRest(words: readonly string[]): { own: string[]; rest: string[] } {
  const at = words.indexOf('--')
  return at === -1
    ? { own: [...words], rest: [] }
    : { own: words.slice(0, at), rest: words.slice(at + 1) }
}

function helpOf(found: FoundCommand): string[] {
  return [`cloister help ${found.name}`]
}

/** The placeholder of an argument in the usage, such as `IMAGE`. */
function argumentName(found: FoundCommand, command: Command, index: number): string {
  const words = command.usage.slice(found.name.length).trim().split(' ')
  const end = words.findIndex((word) => /^[[-]/.test(word))
  return words.slice(0, end === -1 ? undefined : end)[index] ?? 'an argument'
}

function parse(
  args: string[],
  options: ParseArgsOptionsConfig,
  { found, command }: { found: FoundCommand; command: Command },
) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('. ')[0] : undefined
    const [, unknown = ''] = /^Unknown option '--([\w-]+)/.exec(why ?? '') ?? []
    const [near] = nearestWords(unknown, Object.keys(options))
    throw new CloisterError('cli.usage', {
      ...(why !== undefined && {
        why: near === undefined ? why : `${why}; did you mean --${near}?`,
      }),
      expected: `cloister ${command.usage}`,
      fix: helpOf(found),
      cause,
    })
  }
}

function formatOf(value: unknown, found: FoundCommand): OutputFormat {
  const format = OUTPUT_FORMATS.find((known) => known === (value ?? 'table'))
  if (format === undefined)
    throw new CloisterError('cli.usage', {
      why: 'the output format is unknown',
      expected: OUTPUT_FORMATS.join(', '),
      received: typeof value === 'string' ? value.slice(0, 40) : '',
      fix: helpOf(found),
    })
  return format
}

function timeoutOf(value: unknown, found: FoundCommand): number | undefined {
  if (value === undefined) return undefined
  const seconds = Number(value)
  if (!(seconds > 0 && seconds <= 86_400))
    throw new CloisterError('cli.usage', {
      why: 'the time-out is not a number of seconds',
      expected: 'more than 0 and at most 86400',
      received: typeof value === 'string' ? value.slice(0, 40) : '',
      fix: helpOf(found),
    })
  return seconds * 1000
}
