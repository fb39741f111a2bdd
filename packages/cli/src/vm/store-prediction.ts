/** Gives a machine its first baseline, before it has ever run. */
import { CloisterError } from '@cloister/protocol/error'
import { bootOf } from '@cloister/protocol/hostd-vm-api'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { CreateContext, PreparedVm } from './create-vm.ts'

/**
 * Predicts from the disk image what the boot will measure. An image that cannot be read here boots all the same: its baseline is learned.
 *
 * @returns lines for people
 */
export async function storePrediction(
  { plan, tee, shield, image }: PreparedVm,
  { hostd, signal }: Pick<CreateContext, 'hostd' | 'signal'>,
): Promise<string[]> {
  if (!shield.integrityMonitoring || bootOf(tee) !== 'firmware') return []
  const { predictBaseline } = await import('./predict-baseline.ts')
  const { readSecureBootKeys } = await import('./secure-boot-keys.ts')
  try {
    const secureBootKeys =
      plan.secureBootKeys === undefined ? undefined : await readSecureBootKeys(plan.secureBootKeys)
    const { secureBoot } = shield
    const baseline = await predictBaseline({
      image: image.path,
      secureBoot,
      secureBootKeys,
      signal,
    })
    await hostd.vms.storeBaseline(plan.name, baseline, { signal })
    return []
  } catch (error) {
    signal.throwIfAborted()
    const isOfImage = error instanceof FormatError || isDiskError(error)
    if (!isOfImage) throw error
    return [
      `no baseline was predicted (${error.message}); after the first boot: cloister vm integrity ${plan.name} --learn`,
    ]
  }
}

function isDiskError(error: unknown): error is CloisterError {
  return error instanceof CloisterError && /^disk(?:-image)?\./.test(error.code)
}
