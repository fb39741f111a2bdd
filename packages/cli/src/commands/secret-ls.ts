import type { SecretList } from '@cloister/protocol/broker-admin-api'
import type { Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'

type Release = SecretList['secrets'][number]['release']

function recipients(release: Release): string {
  if (release === null) return 'nobody'
  if (release.kind === 'tpm') return `${release.endorsementKeys.length} machine(s) by their TPM`
  return release.workloads.map(({ name }) => name).join(', ')
}

export const command: Command = {
  usage: 'secret ls',
  positionals: [0, 0],
  async run({ directories, output, signal }) {
    const secrets = await openBroker(directories, signal).secrets()
    await output.list(secrets, {
      name: (secret) => secret.path,
      columns: [
        { title: 'SECRET', cell: (secret) => secret.path },
        { title: 'VERSION', cell: (secret) => String(secret.version) },
        {
          title: 'GOES TO',
          cell: ({ release }) => recipients(release),
        },
        { title: 'SIMULATED', cell: (secret) => (secret.allowSimulated ? 'allowed' : 'no') },
      ],
    })
  },
}
