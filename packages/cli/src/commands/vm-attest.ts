import type { Command } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { explainingFailure } from '../vm/explaining-failure.ts'
import { ATTEST_OPTIONS, printAttestation } from '../print-attestation.ts'

export const command: Command = {
  usage: 'vm attest NAME [--nonce HEX]',
  details:
    'Gives what the agent in the VM answered, unverified: evidence over the nonce, its keys, and the token it holds. `cloister vm verify` judges it.',
  options: ATTEST_OPTIONS,
  positionals: [1, 1],
  async run(invocation) {
    const { vms } = await openHostd(invocation)
    const [name = ''] = invocation.positionals
    await explainingFailure(name, vms, invocation, () => printAttestation(name, vms, invocation))
  },
}
