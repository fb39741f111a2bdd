/** How a VM is stopped, by `vm stop` and `vm restart`. */
import type { StopVmRequestInput } from '@cloister/protocol/hostd-vm-api'
import { textOption, type CommandLine, type OptionSpec } from '../command.ts'
import { milliseconds } from '../seconds-option.ts'

export const STOP_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  force: { type: 'boolean', help: 'end it at once, as pulling the plug does' },
  grace: {
    type: 'string',
    value: 'SECONDS',
    help: 'time between the power button and the end; default 90',
  },
}

/** @throws CloisterError `cli.usage` */
export function stopRequest(line: CommandLine): StopVmRequestInput {
  const grace = textOption(line, 'grace')
  return {
    force: line.options['force'] === true,
    ...(grace !== undefined && { timeoutMs: milliseconds('grace', grace, 3600) }),
  }
}
