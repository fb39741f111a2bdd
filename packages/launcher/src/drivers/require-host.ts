/** Refuses a launch on a host that cannot do it, with everything that is missing and how to mend it. */
import { CloisterError } from '@cloister/protocol/error'
import type { VmHost } from '../vm-host.ts'
import type { TeeDriver } from './driver.ts'

/** @throws CloisterError `tee.unavailable`, or `qemu.too-old` where nothing else is missing */
export async function requireHost(
  driver: TeeDriver,
  { accelerator, view }: Pick<VmHost, 'accelerator' | 'view'>,
): Promise<void> {
  // `skip` says that the TEE is of another vendor.
  const failed = (await driver.probe(view)).filter(
    ({ state }) => state === 'fail' || state === 'skip',
  )
  const reasons = failed.map(({ id, evidence, reason }) => `${id}: ${evidence}, ${reason ?? ''}`)
  if (accelerator !== 'kvm') reasons.push('kvm: no guest ran under it on this host')
  if (reasons.length === 0) return
  const [only] = failed
  if (reasons.length === 1 && only?.id === `${driver.id}.qemu`)
    throw new CloisterError('qemu.too-old', {
      where: driver.id,
      why: `${only.evidence}: ${only.reason ?? ''}`,
      fix: [...only.fix, 'cloister doctor'],
    })
  throw new CloisterError('tee.unavailable', {
    where: driver.id,
    why: reasons.join('; '),
    fix: [...failed.flatMap(({ fix }) => fix), 'cloister doctor'],
  })
}
