import { textOption, type Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { badOption, count, mebibytes } from '../option-values.ts'
import { titledLines } from '../titled-lines.ts'

export const command: Command = {
  usage: 'hostd quota [--cpus N|default] [--memory SIZE|default] [--disk SIZE|default]',
  details:
    'What all workloads and VMs of this host may have together, and have. What runs already is not touched; `default` takes a limit away again.',
  options: {
    cpus: { type: 'string', value: 'N', help: 'vCPUs of guests that run' },
    memory: { type: 'string', short: 'm', value: 'SIZE', help: 'memory of guests that run' },
    disk: { type: 'string', value: 'SIZE', help: 'disks of all VMs' },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { output, signal } = invocation
    const hostd = await openHostd(invocation)
    const before = await hostd.quota({ signal })
    const changes = [
      change('cpus', textOption(invocation, 'cpus'), count),
      change('memory', textOption(invocation, 'memory'), mebibytes),
      change('disk', textOption(invocation, 'disk'), mebibytes),
    ].filter((entry) => entry !== undefined)
    const answer =
      changes.length === 0 ? before : await hostd.setQuota(changed(before.set, changes), { signal })
    const { limit, used } = answer
    const line = (title: string, have: number, most: number | undefined, unit: string) =>
      [title, `${have}${most === undefined ? `${unit}, no limit` : ` of ${most}${unit}`}`] as const
    await output.object(answer, {
      name: 'quota',
      text: () =>
        titledLines([
          line('vCPUs', used.cpus, limit.cpus, ''),
          line('memory', used.memoryMiB, limit.memoryMiB, ' MiB'),
          line('disks', used.diskMiB, limit.diskMiB, ' MiB'),
        ]),
    })
  },
}

const MEMBERS = { cpus: 'cpus', memory: 'memoryMiB', disk: 'diskMiB' } as const
type Change = readonly [keyof typeof MEMBERS, number | undefined]

function change(
  option: keyof typeof MEMBERS,
  text: string | undefined,
  read: (option: string, text: string) => number,
): Change | undefined {
  if (text === undefined) return undefined
  if (text === 'default') return [option, undefined]
  const value = read(option, text)
  if (value < 1) throw badOption(`--${option} is too small`, 'at least 1', text)
  return [option, value]
}

function changed(set: Readonly<Record<string, unknown>>, changes: readonly Change[]): object {
  const quota: Record<string, unknown> = { ...set }
  for (const [option, value] of changes)
    if (value === undefined) delete quota[MEMBERS[option]]
    else quota[MEMBERS[option]] = value
  return quota
}
