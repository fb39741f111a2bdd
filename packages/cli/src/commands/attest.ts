import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { ATTEST_OPTIONS, printAttestation } from '../print-attestation.ts'
import { explainingFailure } from '../vm/explaining-failure.ts'
import { workloadOrVm } from '../vm/workload-or-vm.ts'

export const command: Command = {
  usage: 'attest NAME [--nonce HEX]',
  details:
    'Gives what the guest answered, unverified: evidence over the nonce, its keys, its initdata, and the token it holds. NAME is a workload, or else a VM.\n`cloister verify` judges it.',
  options: ATTEST_OPTIONS,
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const hostd = await openHostd(invocation)
    await workloadOrVm(
      () => printAttestation(name, hostd, invocation),
      () =>
        explainingFailure(name, hostd.vms, invocation, () =>
          printAttestation(name, hostd.vms, invocation),
        ),
    )
  },
}
