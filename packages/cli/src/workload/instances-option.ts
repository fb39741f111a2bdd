/** How many instances of a workload or VM the broker lets live at once. */
import { InstancesSchema } from '@cloister/protocol/workload'
import { textOption, type CommandLine, type OptionSpec } from '../command.ts'
import { badOption } from '../option-values.ts'

export const INSTANCES_OPTION = {
  instances: {
    type: 'string',
    value: 'N',
    help: 'so many may live at once, by the broker; default any number',
  },
} as const satisfies Readonly<Record<string, OptionSpec>>

/** Undefined: any number. @throws CloisterError `cli.usage` */
export function instances(line: CommandLine): number | undefined {
  const text = textOption(line, 'instances')
  if (text === undefined) return undefined
  const parsed = InstancesSchema.safeParse(/^\d{1,4}$/.test(text) ? Number(text) : undefined)
  if (parsed.success) return parsed.data
  throw badOption('--instances is malformed', '1 to 1024', text)
}
