/**
 * What cloud-init of the image is told: the owner's seed as the broker released it, and to look nowhere else. Its other sources are the host's:
 * a disk labelled `cidata`, SMBIOS strings, addresses on the network; whoever answers there is root in the VM.
 */
import { createHash } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import { VmSeedSchema } from '@cloister/protocol/vm-seed'

/**
 * A file for /etc/cloud/cloud.cfg.d: JSON is YAML. ds-identify reads lines, so the list stands on one of its own.
 *
 * @param name - of the VM: its host name
 * @param seed - the resource's bytes
 * @throws CloisterError `agent.resource-malformed`
 */
export function cloudConfig(name: string, seed: Uint8Array): string {
  const { userData, sshKeys } = readSeed(seed)
  // Another seed is another instance: then cloud-init does its work again.
  const id = createHash('sha256').update(seed).digest('hex').slice(0, 12)
  const none = {
    metadata: {
      'instance-id': `cloister-${id}`,
      'local-hostname': name,
      'public-keys': sshKeys,
    },
    ...(userData !== undefined && {
      userdata_raw: Buffer.from(userData, 'base64').toString('utf8'),
    }),
  }
  return `datasource_list: [ None ]\ndatasource: ${JSON.stringify({ None: none })}\n`
}

function readSeed(seed: Uint8Array) {
  try {
    return VmSeedSchema.parse(JSON.parse(Buffer.from(seed).toString('utf8')))
  } catch (cause) {
    throw new CloisterError('agent.resource-malformed', { where: 'seed of cloud-init', cause })
  }
}
