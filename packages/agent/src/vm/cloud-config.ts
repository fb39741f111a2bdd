/**
 * What cloud-init of the image is told: the measured user data, and to look nowhere else. Its other sources are the host's: a disk labelled
 * `cidata`, SMBIOS strings, addresses on the network; whoever answers there is root in the VM.
 */
import { createHash } from 'node:crypto'
import type { VmWorkload } from '@cloister/protocol/vm-workload'

type CloudInit = NonNullable<VmWorkload['vm']['cloudInit']>

/** A file for /etc/cloud/cloud.cfg.d: JSON is YAML. ds-identify reads the first line, so the list stands on one of its own. */
export function cloudConfig({ userData }: CloudInit): string {
  // Other user data is another instance: then cloud-init does its work again.
  const id = createHash('sha256').update(userData).digest('hex').slice(0, 12)
  const none = { metadata: { 'instance-id': `cloister-${id}` }, userdata_raw: userData }
  return `datasource_list: [ None ]\ndatasource: ${JSON.stringify({ None: none })}\n`
}
