/** Checks that the owner's side adds to those of the verifier, with what `cloister explain` says of them. */
import type { CheckEntry } from '@cloister/verifier/checks/catalogue'

export const OWNER_CHECKS: Readonly<Record<string, CheckEntry>> = {
  'workload.registered': {
    meaning: 'The initdata of the guest is not that of the current registered revision',
    cause:
      'Another revision was registered since, it was withdrawn, or somebody else started the guest',
    fix: 'Start the current revision: `cloister run`',
  },
  'vm.agent': {
    meaning: 'No agent in the VM answers, so nobody inside proves anything',
    cause: 'The package is not installed in its disk, or its service does not run',
    fix: 'Build the package and install it in the VM: `cloister agent package`',
  },
  'policy.openings': {
    meaning: 'The agent policy in Rego lets more pass than it should, or cannot be read',
    cause: 'A rule allows a request without looking at it',
    fix: 'Show the openings: `cloister policy check FILE`',
  },
}
