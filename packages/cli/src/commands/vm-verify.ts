import type { Command } from '../command.ts'
import { VERIFY_OPTIONS, verifyVm } from '../vm/print-vm-verdict.ts'

export const command: Command = {
  usage: 'vm verify NAME [--nonce HEX] [--online]',
  details:
    "Asks the agent in the VM for evidence over a fresh nonce and says what stands behind each claim: the processor's launch measurement, or the TPM that the host\nruns, which is never better than degraded. Without an agent the VM is unattested. Exit 0: verified, degraded or simulated as the output says; 2: refused; 3: undecided.",
  options: VERIFY_OPTIONS,
  positionals: [1, 1],
  run: (invocation) => verifyVm(invocation.positionals[0] ?? '', invocation),
}
