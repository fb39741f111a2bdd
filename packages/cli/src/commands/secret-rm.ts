import { CloisterError } from '@cloister/protocol/error'
import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { resourcePath } from '../owner/resource-path.ts'

export const command: Command = {
  usage: 'secret rm NAME',
  positionals: [1, 1],
  async run({ positionals: [name = ''], directories, output, signal }) {
    const path = resourcePath(name)
    try {
      await openBroker(directories, signal).removeSecret(path)
    } catch (error) {
      if (!(error instanceof CloisterError && error.code === 'broker.not-found')) throw error
      throw new CloisterError('owner.secret-unknown', { where: path })
    }
    await output.object({ removed: path }, { name: path, text: () => `${path} removed` })
  },
}
