import { amdLists } from '../endorsements/amd-lists.ts'
import { FETCH_OPTIONS, fetchOptions } from '../endorsements/fetch-options.ts'
import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { checkLines } from '../check-lines.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import { nonceOption } from '../nonce-option.ts'
import { trustExit } from '../trust-exit.ts'

export const command: Command = {
  usage: 'verify NAME [--nonce HEX] [--online]',
  details:
    'Asks the running guest for a report over a fresh nonce, verifies it up to the pinned roots and compares it with your guest images and registered\nworkloads. On hardware, the vendor’s revocation list decides too: with --online it is asked for, else the one asked for before counts while it is in date.\nExit 0: verified, degraded, simulated or debug as the output says; 2: refused; 3: undecided.',
  options: {
    nonce: {
      type: 'string',
      value: 'HEX',
      help: '16 to 64 bytes of your own; default 32 random bytes',
    },
    online: { type: 'boolean', help: "ask AMD for the revocation list of the processor's line" },
    kds: FETCH_OPTIONS.kds,
  },
  positionals: [1, 1],
  async run(invocation) {
    const { positionals, directories, output, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const lists = amdLists(directories, {
      online: invocation.options['online'] === true,
      kds: fetchOptions(invocation).kds ?? {},
      signal,
      ...(invocation.options['online'] === true && {
        onMissing: (reason) => {
          output.talk(reason)
        },
      }),
    })
    const references = await ownerReferences(directories, openBroker(directories, signal), lists)
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
