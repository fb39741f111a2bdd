/** Follows the start of a VM with a measured boot until its disk is open: whether it gets its keys is decided then, not by `vm start`. */
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import { STAGES } from '@cloister/protocol/guest-names'
import { isAtRest, type VmView } from '@cloister/protocol/hostd-vm-api'
import type { Invocation, OptionSpec } from '../command.ts'
import { explainRefusal } from '../owner/explain-refusal.ts'
import { openBroker } from '../owner/broker-client.ts'
import { stageText } from '../stage-text.ts'

export const DETACH_OPTION: Readonly<Record<string, OptionSpec>> = {
  detach: {
    type: 'boolean',
    short: 'd',
    help: 'do not wait until a VM with a measured boot has opened its disk',
  },
}

/**
 * @param started - as hostd gave it after the start
 * @returns the latest view; at once for a VM that no guest of ours opens, and with --detach
 * @throws CloisterError why it ended; when broker or guest refused it, with expected and received from the audit
 */
export async function followStart(
  started: VmView,
  hostd: Pick<HostdClient, 'events'>,
  { output, signal, directories, options }: Invocation,
): Promise<VmView> {
  if (started.boot !== 'measured' || options['detach'] === true) return started
  const { name } = started
  let told = 0
  let view = started
  output.waiting('  ...      boot')
  for await (const event of hostd.events({ vm: name, signal })) {
    if (event.type === 'removed') throw new CloisterError('vm.not-found', { where: name })
    if (event.type !== 'vm') continue
    view = event.vm
    if (view.restartsAt !== undefined) {
      output.talk('  the guest asked for a restart, which is a start of its own in a TEE')
      told = 0
      continue
    }
    for (const stage of view.stages.slice(told)) {
      output.talk(`  ${stageText(stage)}`)
      output.waiting(`  ...      after ${stage.name}`)
    }
    told = Math.max(told, view.stages.length)
    if (isAtRest(view.state) || view.stages.some(({ number }) => number > STAGES.keys)) break
  }
  output.waiting(undefined)
  if (view.state !== 'failed') return view
  throw await explainVmFailure(view, { directories, signal })
}

/** The error of a VM that failed, with what the owner's audit knows about it. */
export async function explainVmFailure(
  { name, error, startedAt, createdAt }: VmView,
  { directories, signal }: Pick<Invocation, 'directories' | 'signal'>,
): Promise<CloisterError> {
  return await explainRefusal(CloisterError.fromJSON(error), {
    name,
    createdAt: startedAt ?? createdAt,
    // Without a broker nobody but the host knows anything.
    broker: { audit: async (filter) => await openBroker(directories, signal).audit(filter) },
  })
}
