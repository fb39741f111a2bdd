import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { releaseSentences } from '../owner/policy-sentences.ts'
import { resourcePath } from '../owner/resource-path.ts'
import { readReleasePolicy } from './secret-put.ts'

export const command: Command = {
  usage: 'policy apply SECRET FILE|-',
  details: 'Replaces the release policy; it counts from the next release on.',
  positionals: [2, 2],
  async run({ positionals: [name = '', file = ''], directories, output, signal }) {
    const path = resourcePath(name)
    const policy = await readReleasePolicy(file)
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
