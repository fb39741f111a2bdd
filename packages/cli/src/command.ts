/** What a command is. Each file of `commands/` exports one as `command`; none is loaded before it is needed. */
import type { Directories } from '@cloister/protocol/directories'
import type { Output, OutputFormat } from './output.ts'

export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: boolean
  /** Placeholder of the value in help, such as `FILE`. */
  readonly value?: string
  readonly help: string
}

export type OptionValue = string | boolean | (string | boolean)[] | undefined

export interface CommandLine {
  readonly name: string
  readonly positionals: readonly string[]
  /** Words after `--`. */
  readonly rest: readonly string[]
  readonly options: Readonly<Record<string, OptionValue>>
  readonly format: OutputFormat
  readonly quiet: boolean
  readonly color: boolean
  readonly verbose: boolean
  readonly timeoutMs: number | undefined
  readonly directories: Directories
}

export interface Invocation extends CommandLine {
  readonly output: Output
  /** Fires on interruption and on `--timeout`. */
  readonly signal: AbortSignal
  readonly commands: CommandList
}

/** A command as the command line names it. */
export interface FoundCommand {
  readonly name: string
  /** How many words of the command line name it: 1 to 3. */
  readonly words: number
}

/** All commands, for one that speaks of the others. */
export interface CommandList {
  summaries(): readonly {
    readonly name: string
    readonly group: string
    readonly summary: string
  }[]
  /** @throws CloisterError `cli.unknown-command` */
  load(name: string): Promise<Command>
}

export interface Command {
  /** Usage after `cloister `, such as `run IMAGE [options] [-- ARG…]`. */
  readonly usage: string
  /** Some sentences for `cloister help NAME`. */
  readonly details?: string
  readonly options?: Readonly<Record<string, OptionSpec>>
  /** Least and most positional arguments. */
  readonly positionals: readonly [number, number]
  /** @returns the exit code; absent means 0 */
  run(invocation: Invocation): Promise<number | undefined | void>
}

/** A string option, or undefined when it was not given. */
export function textOption(invocation: CommandLine, name: string): string | undefined {
  const value = invocation.options[name]
  return typeof value === 'string' ? value : undefined
}

/** The values of a repeatable string option, in order. */
export function listOption(invocation: CommandLine, name: string): readonly string[] {
  const value = invocation.options[name]
  if (!Array.isArray(value)) return typeof value === 'string' ? [value] : []
  return value.filter((entry) => typeof entry === 'string')
}
