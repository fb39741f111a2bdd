import { probeHost } from '@cloister/launcher/probe/probe-host'
import type { ProbeLeaf, ProbeNode } from '@cloister/launcher/probe/probe-node'
import type { Command } from '../command.ts'
import type { Painter } from '../paint.ts'

export const command: Command = {
  usage: 'doctor [--all]',
  details:
    'Looks and changes nothing. Exit 0 when this host can run workloads of some kind, simulated included; 5 when it can run nothing.',
  options: { all: { type: 'boolean', short: 'a', help: 'what does not concern this host too' } },
  positionals: [0, 0],
  async run({ directories, output, options, signal }) {
    const probe = await probeHost({ directories, signal })
    const { painter } = output
    await output.object(probe, {
      name: probe.canRun.join('\n'),
      text: () =>
        [
          ...probe.tree.flatMap((node) => nodeLines(node, 0, options['all'] === true, painter)),
          '',
          probe.verdict,
        ].join('\n'),
    })
    if (!probe.canRun.some((tee) => tee !== 'simulated'))
      output.talk(
        'no TEE that Cloister can use: --tee simulated shows everything and protects nothing',
      )
    return probe.canRun.length > 0 ? 0 : 5
  },
}

function nodeLines(node: ProbeNode, depth: number, all: boolean, painter: Painter): string[] {
  if (!all && node.state === 'skip') return []
  const indent = '  '.repeat(depth)
  if ('children' in node)
    return [
      `${indent}${painter.bold(node.title)}`,
      ...node.children.flatMap((child) => nodeLines(child, depth + 1, all, painter)),
    ]
  return leafLines(node, indent, painter)
}

function leafLines(leaf: ProbeLeaf, indent: string, painter: Painter): string[] {
  return [
    `${indent}${mark(leaf.state, painter)} ${leaf.title}: ${leaf.evidence}`,
    ...(leaf.reason === undefined ? [] : [`${indent}        ${leaf.reason}`]),
    ...leaf.fix.map((fix) => `${indent}        fix: ${fix}`),
  ]
}

function mark(state: ProbeLeaf['state'], painter: Painter): string {
  switch (state) {
    case 'pass':
      return 'ok     '
    case 'warn':
      return painter.yellow('warn   ')
    case 'fail':
      return painter.red('FAIL   ')
    case 'skip':
      return painter.dim('skip   ')
    case 'unknown':
      return painter.yellow('unknown')
    default:
      return state satisfies never
  }
}
