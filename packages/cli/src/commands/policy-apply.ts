import { textOption, type Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { releaseSentences } from '../owner/policy-sentences.ts'
import { resourcePath } from '../owner/resource-path.ts'
import { readInput } from '../read-input.ts'
import { readReleasePolicy } from './secret-put.ts'

export const command: Command = {
  usage: 'policy apply SECRET FILE|- [--rego FILE]',
  details: 'Replaces the release policy; it counts from the next release on.',
  options: {
    rego: {
      type: 'string',
      value: 'FILE',
      help: 'policy in Rego (package policy) that must allow it too',
    },
  },
  positionals: [2, 2],
  async run(invocation) {
    const { positionals, directories, output, signal } = invocation
    const [name = '', file = ''] = positionals
    const path = resourcePath(name)
    const regoFile = textOption(invocation, 'rego')
    const policy = {
      ...(await readReleasePolicy(file)),
      ...(regoFile !== undefined && {
        rego: (await readInput(regoFile, 1 << 18)).toString('utf8'),
      }),
    }
    const broker = openBroker(directories, signal)
    await broker.putReleasePolicy(path, policy)
    const secret = (await broker.secrets()).find((entry) => entry.path === path)
    await output.object(policy, {
      name: path,
      text: () =>
        [
          output.painter.bold(path),
          ...(secret === undefined ? [] : releaseSentences(secret)).map((line) => `  ${line}`),
        ].join('\n'),
    })
  },
}
