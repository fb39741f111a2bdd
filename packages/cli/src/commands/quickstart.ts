import { checkLines } from '../check-lines.ts'
import type { Command } from '../command.ts'
import { confirm } from '../confirm.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import { quickstart, type QuickstartResult } from '../quickstart/quickstart.ts'
import type { Painter } from '../paint.ts'
import { stageText } from '../stage-text.ts'

export const command: Command = {
  usage: 'quickstart [--yes] [--keep]',
  details:
    'Changes only CLOISTER_HOME and, after asking, installs Debian packages. A second run reuses what the first has made.',
  options: {
    yes: { type: 'boolean', short: 'y', help: 'ask nothing' },
    keep: { type: 'boolean', help: 'leave the demo running' },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { output, options, signal } = invocation
    const { probeHost } = await import('@cloister/launcher/probe/probe-host')
    const { canRun } = await probeHost({ directories: invocation.directories, signal })
    if (!canRun.includes('snp'))
      output.talk(
        'This host has no TEE, so this is a simulation: the same steps and refusals as on hardware, but memory is not encrypted and nothing is protected.',
      )
    output.talk('Owner and host are one person on this machine: its operator is the data owner.')
    const result = await quickstart(invocation, async (question) => {
      output.waiting(undefined)
      return await confirm(question, options['yes'] === true, signal)
    })
    // Who follows it on a terminal has seen attacks and boot go by.
    const seen = output.interactive && process.stdout.isTTY
    await output.object(result, {
      name: result.trust,
      text: () => summary(result, { painter: output.painter, seen, each: invocation.verbose }),
    })
    const next =
      options['keep'] === true
        ? ['cloister verify demo', 'cloister ps', 'cloister rm --force demo']
        : ['cloister quickstart --keep', 'cloister run IMAGE --tee simulated']
    output.talk(
      'broker and hostd stay in the background: cloister broker stop, cloister hostd stop',
    )
    output.talk(`next: ${next.join(', ')}`)
    return result.attacks.every(({ refused }) => refused) && result.launchDigest === result.measured
      ? 0
      : 2
  },
}

function summary(
  result: QuickstartResult,
  { painter, seen, each }: { painter: Painter; seen: boolean; each: boolean },
): string {
  return [
    '',
    painter.bold('Chain of checks, over a fresh nonce'),
    ...checkLines(result.checks, painter, each),
    `  launch digest  ${result.launchDigest}`,
    `  predicted      ${result.measured}`,
    ...(seen ? [] : [...attackLines(result, painter), ...bootLines(result, painter)]),
    '',
    `trust: ${paintTrust(result.trust, painter)}  ${trustMeaning(result.trust)}`,
  ].join('\n')
}

function attackLines({ attacks }: QuickstartResult, painter: Painter): string[] {
  return [
    '',
    painter.bold('Attacks'),
    ...attacks.map(
      ({ refused, code, story, by }) =>
        `  ${refused ? 'refused' : painter.red('NOT REFUSED')}  ${code}  (${by})  ${story}`,
    ),
  ]
}

function bootLines({ boot }: QuickstartResult, painter: Painter): string[] {
  return ['', painter.bold('Boot'), ...boot.map((stage) => `  ${stageText(stage)}`)]
}
