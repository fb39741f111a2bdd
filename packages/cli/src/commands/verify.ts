import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import type { Command, Invocation } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { checkLines } from '../check-lines.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import { nonceOption } from '../nonce-option.ts'
import { trustExit } from '../trust-exit.ts'
import { revocationLists, VERIFY_OPTIONS, verifyVm } from '../vm/print-vm-verdict.ts'
import { workloadOrVm } from '../vm/workload-or-vm.ts'

export const command: Command = {
  usage: 'verify NAME [--nonce HEX] [--online]',
  details:
    'Asks the running guest for a report over a fresh nonce, verifies it up to the pinned roots and compares it with your guest images and registered\nworkloads. On hardware, the vendor’s revocation list decides too: with --online it is asked for, else the one asked for before counts while it is in date.\nNAME is a workload, or else a VM. Exit 0: verified, degraded, simulated or debug as the output says; 2: refused; 3: undecided.',
  options: VERIFY_OPTIONS,
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    return await workloadOrVm(
      () => verifyWorkload(name, invocation),
      () => verifyVm(name, invocation),
    )
  },
}

async function verifyWorkload(name: string, invocation: Invocation): Promise<0 | 2 | 3> {
  const { directories, output, signal } = invocation
  const hostd = await openHostd(invocation)
  // Before a broker is wanted: a VM of that name may do without one.
  await hostd.get(name, { signal })
  const broker = openBroker(directories, signal)
  const references = await ownerReferences(directories, broker, revocationLists(invocation))
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
          ...checkLines(verdict.checks, painter, invocation.verbose),
          '',
          `trust: ${paintTrust(verdict.trust, painter)}  ${trustMeaning(verdict.trust)}`,
        ].join('\n'),
    },
  )
  return trustExit(verdict.trust)
}
