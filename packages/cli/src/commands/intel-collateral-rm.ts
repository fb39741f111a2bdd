import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

export const command: Command = {
  usage: 'intel-collateral rm FMSPC',
  details: 'TDX quotes of that kind of platform prove nothing from then on.',
  positionals: [1, 1],
  async run({ directories, output, positionals, signal }) {
    const [fmspc = ''] = positionals
    await openBroker(directories, signal).removeIntelCollateral(fmspc)
    await output.object({ fmspc }, { name: fmspc, text: () => `removed ${fmspc}` })
  },
}
