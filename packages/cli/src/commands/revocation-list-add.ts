import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { readInput } from '../read-input.ts'

const MAX_BYTES = 1 << 20

export const command: Command = {
  usage: 'revocation-list add FILE',
  details:
    "One of AMD's certificate revocation lists, DER, as kdsintf.amd.com gives it. Who signed it and whether it is in date is judged when evidence is.",
  positionals: [1, 1],
  async run({ positionals, directories, output, signal }) {
    const [file = ''] = positionals
    const broker = openBroker(directories, signal)
    await broker.putRevocationList(await readInput(file, MAX_BYTES))
    const { revocationLists } = await broker.status()
    await output.object(revocationLists, {
      name: file,
      text: () => `the broker has ${revocationLists.length} revocation lists`,
    })
  },
}
