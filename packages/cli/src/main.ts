/** Entry of `cloister`: reads the command line, runs one command, prints one error, sets the exit code. */
import { diskFull } from '@cloister/protocol/disk-full'
import { CloisterError } from '@cloister/protocol/error'
import { COMMANDS, findCommand, isGroup, loadCommand } from './command-table.ts'
import { concreteFixes } from './concrete-fixes.ts'
import { parseCommandLine } from './command-line.ts'
import { printHelp } from './help.ts'
import { openOutput } from './output.ts'
import { renderError } from './render-error.ts'

const HELP_WORDS = new Set(['help', '--help', '-h'])
const VERSION_WORDS = new Set(['version', '--version', '-V'])

async function main(argv: readonly string[]): Promise<number> {
  const [first] = argv
  if (first === undefined || HELP_WORDS.has(first))
    return await printHelp(argv.slice(1), process.stdout)
  if (isGroup(first) && (argv.length === 1 || HELP_WORDS.has(argv[1] ?? '')))
    return await printHelp([first], process.stdout)
  if (VERSION_WORDS.has(first)) {
    const { PRODUCT_VERSION } = await import('@cloister/protocol/product-version')
    process.stdout.write(`cloister ${PRODUCT_VERSION}\n`)
    return 0
  }
  const found = findCommand(argv)
  const command = await loadCommand(found)
  const line = parseCommandLine(found, command, argv.slice(found.words))
  if (line.options['help'] === true) return await printHelp([found.name], process.stdout)
  const output = openOutput(line)
  using interrupt = interruption(line.timeoutMs)
  try {
    return (
      (await command.run({ ...line, output, signal: interrupt.signal, commands: COMMANDS })) ?? 0
    )
  } catch (error) {
    // Whatever an interrupted step makes of it, the interruption is the cause; a command may say more about it.
    const says = error instanceof CloisterError && error.code === 'cli.interrupted'
    const cause: unknown = interrupt.signal.aborted && !says ? interrupt.signal.reason : error
    throw concreteFixes(diskFull(cause) ?? CloisterError.from(cause), {
      name: found.name,
      usage: command.usage,
      positionals: line.positionals,
    })
  } finally {
    output.waiting(undefined)
  }
}

/** What asked the command to end; undefined while nothing has. */
let endedBy: NodeJS.Signals | 'EPIPE' | undefined

/** A signal that fires on Ctrl-C, on SIGTERM, when nobody reads the output any more, or when `--timeout` has passed. */
function interruption(timeoutMs: number | undefined): Disposable & { signal: AbortSignal } {
  const controller = new AbortController()
  const interrupt = (by: NodeJS.Signals) => {
    endedBy ??= by
    controller.abort(new CloisterError('cli.interrupted'))
  }
  const readerGone = () => {
    controller.abort(new CloisterError('cli.interrupted'))
  }
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  process.stdout.once('error', readerGone)
  process.stderr.once('error', readerGone)
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          controller.abort(
            new CloisterError('cli.timed-out', {
              why: `--timeout of ${timeoutMs / 1000} s has passed`,
            }),
          )
        }, timeoutMs)
  timer?.unref()
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
      process.stdout.off('error', readerGone)
      process.stderr.off('error', readerGone)
    },
  }
}

// A reader that has gone (`cloister ps | head -1`) is no failure of ours, and no success of what the command had to say: its exit code stays.
const onOutputError = (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.exit(1)
  endedBy ??= 'EPIPE'
}
process.stdout.on('error', onOutputError)
process.stderr.on('error', onOutputError)

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (thrown) {
  const error = diskFull(thrown) ?? CloisterError.from(thrown)
  process.exitCode = error.exit
  const isInterrupted = error.code === 'cli.interrupted'
  // Whoever closed the pipe has seen enough.
  if (!isInterrupted || endedBy !== 'EPIPE') renderError(error, process.argv)
  // The shell then sees that a signal ended it (130 after Ctrl-C), and a script does not go on with its next line.
  if (isInterrupted && endedBy !== undefined && endedBy !== 'EPIPE')
    process.kill(process.pid, endedBy)
}
