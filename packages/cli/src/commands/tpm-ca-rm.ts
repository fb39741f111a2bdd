import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'tpm-ca rm SHA256',
  details: 'From then on nothing under that CA attests or gets a secret, with a token or without.',
  positionals: [1, 1],
  async run({ positionals, directories, output, signal }) {
    const fingerprint = (positionals[0] ?? '').toLowerCase().replaceAll(':', '')
    await openBroker(directories, signal).unpinTpmAnchor(fingerprint)
    await output.object(
      { fingerprint },
      { name: fingerprint, text: () => `removed ${fingerprint}` },
    )
  },
}
