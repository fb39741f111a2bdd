import { CloisterError } from '@cloister/protocol/error'
import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { releaseSentences } from '../owner/policy-sentences.ts'
import { resourcePath } from '../owner/resource-path.ts'

export const command: Command = {
  usage: 'policy show SECRET',
  details: 'In sentences; as the policy itself with -o json or yaml.',
  positionals: [1, 1],
  async run({ positionals: [name = ''], directories, output, signal }) {
    const path = resourcePath(name)
    const secret = (await openBroker(directories, signal).secrets()).find(
      (entry) => entry.path === path,
    )
    if (secret === undefined) throw new CloisterError('owner.secret-unknown', { where: path })
    await output.object(secret.release ?? { release: null }, {
      name: path,
      text: () =>
        [output.painter.bold(path), ...releaseSentences(secret).map((line) => `  ${line}`)].join(
          '\n',
        ),
    })
  },
}
