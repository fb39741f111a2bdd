import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { checkLines } from '../check-lines.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import { nonceOption } from '../nonce-option.ts'
import { trustExit } from '../trust-exit.ts'

export const command: Command = {
  usage: 'verify NAME [--nonce HEX]',
  details:
    'Asks the running guest for a report over a fresh nonce, verifies it up to the pinned roots and compares it with your guest images and registered\nworkloads. Exit 0: verified, degraded, simulated or debug as the output says; 2: refused; 3: undecided.',
  options: {
    nonce: {
      type: 'string',
      value: 'HEX',
      help: '16 to 64 bytes of your own; default 32 random bytes',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, directories, output, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const references = await ownerReferences(directories, openBroker(directories, signal))
    const nonce = nonceOption(invocation)
    const { verdict } = await appraiseWorkload(name, hostd, references(name), {
      ...(nonce !== undefined && { nonce }),
      signal,
    })
    const { painter } = output
    await output.object(
      { name, ...verdict },
      {
        name: verdict.trust,
        text: () =>
          [
            ...checkLines(verdict.checks, painter),
            '',
            `trust: ${paintTrust(verdict.trust, painter)}  ${trustMeaning(verdict.trust)}`,
          ].join('\n'),
      },
    )
    return trustExit(verdict.trust)
  },
}
