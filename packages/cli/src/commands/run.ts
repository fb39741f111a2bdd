import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { WorkloadView } from '@cloister/protocol/hostd-api'
import { confirm } from '../confirm.ts'
import type { Command, Invocation } from '../command.ts'
import { printText } from '../print-text.ts'
import { openHostd } from '../hostd.ts'
import { ensureBroker } from '../owner/local-broker.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import { ensureGuestImage } from '../setup/ensure-guest-image.ts'
import { installPackages } from '../setup/install-packages.ts'
import { missingRequirements, RUN_REQUIREMENTS } from '../setup/requirements.ts'
import type { TrustVerdict } from '../owner/trust-state.ts'
import { cpusText } from '../vm/vm-text.ts'
import { clearWorkload, stopInterrupted } from '../workload/abandon-run.ts'
import { awaitRunning } from '../workload/await-running.ts'
import { followWorkload } from '../workload/follow-workload.ts'
import { assertHostCan, chooseTee, type RunTee } from '../workload/choose-tee.ts'
import { readRunPlan, RUN_OPTIONS, type RunPlan } from '../workload/run-plan.ts'
import {
  findImage,
  prepareRun,
  startRun,
  type PreparedRun,
  type RunContext,
} from '../workload/start-workload.ts'
import { stageText } from '../stage-text.ts'

export const command: Command = {
  usage: 'run IMAGE [options] [-- ARG…]',
  details:
    'IMAGE is a registry reference, oci:DIR[:TAG] or oci-archive:FILE[:TAG]. The tag is resolved to a digest here; the guest pulls exactly that.\nWithout --detach the command stays until the workload ends and gives its exit code; Ctrl-C stops the workload.',
  options: RUN_OPTIONS,
  positionals: [1, 1],
  async run(invocation) {
    const plan = readRunPlan(invocation)
    const { directories, output, signal } = invocation
    const tee = await chooseTee(plan.tee, directories, signal)
    output.waiting(`  ...      looking for ${plan.image}`)
    using image = await findImage(plan, invocation)
    output.waiting(undefined)
    const context = await openContext(tee, invocation)
    const prepared = await prepareRun(plan, image, context)
    await showPlan(prepared, context, invocation)
    const view = await bringUp(prepared, context, invocation)
    return await follow(view, prepared, { context, invocation })
  },
}

/** Most of it is the verifier's: loaded while the guest boots, and not while its QEMU starts, which keeps two processors busy. */
async function loadAppraisal() {
  return await import('../owner/appraise-workload.ts')
}

/** Starts it and waits until it runs; nothing of it is left when that is interrupted. A guest that refused stays, for `inspect`. */
async function bringUp(
  prepared: PreparedRun,
  context: RunContext,
  { output, signal }: Invocation,
): Promise<WorkloadView> {
  const { name } = prepared
  try {
    await startRun(prepared, context)
    output.waiting('  ...      boot')
    return await awaitRunning(name, {
      ...context,
      onStage: (stage) => {
        // What goes wrong shows when it is needed.
        loadAppraisal().catch(() => undefined)
        output.talk(`  ${stageText(stage)}`)
        output.waiting(`  ...      after ${stage.name}`)
      },
    })
  } catch (error) {
    if (signal.aborted) {
      output.waiting(`  ...      ending ${name}`)
      await clearWorkload(context.hostd, name)
    } else if (await hasFailed(name, context))
      output.talk(`${name} stays listed as failed until: cloister rm ${name}`)
    throw error
  } finally {
    output.waiting(undefined)
  }
}

async function hasFailed(name: string, { hostd }: RunContext): Promise<boolean> {
  const view = await hostd.get(name).catch(() => undefined)
  return view?.state === 'failed'
}

async function openContext(tee: RunTee, invocation: Invocation): Promise<RunContext> {
  const { directories, output, signal } = invocation
  await installPackages(missingRequirements(RUN_REQUIREMENTS), {
    confirm: async (question) =>
      await confirm(question, invocation.options['yes'] === true, signal),
    talk: output.talk,
    signal,
  })
  await assertHostCan(tee, directories, signal)
  const { image } = await ensureGuestImage({ directories, talk: output.talk, signal })
  const hostd = openHostd(invocation)
  // What is wrong with the broker is told first; a hostd that was started for this run stays, as after any run.
  hostd.catch(() => undefined)
  const broker = await ensureBroker(directories, signal, { talk: output.talk })
  return { directories, broker, hostd: await hostd, guestImage: image, tee, signal }
}

async function showPlan(
  prepared: PreparedRun,
  { tee, guestImage }: RunContext,
  invocation: Invocation,
): Promise<void> {
  const { plan, name, resolved, grants } = prepared
  const { talk } = invocation.output
  talk(`plan  ${name}  ${plan.image} -> ${resolved.digest}`)
  talk(
    `      guest ${guestImage.manifest.name} version ${guestImage.manifest.imageVersion}, ${cpusText(plan.cpus)}, ${plan.memoryMiB} MiB, ${tee}`,
  )
  if (tee === 'simulated')
    talk('      SIMULATION: memory is not encrypted, the host can read everything')
  if (plan.env.length > 0)
    talk('      --env values are readable by the host; secrets go by --secret')
  for (const { host, guest } of plan.ports)
    talk(`      port ${host} leads to ${guest} in clear to the host`)
  for (const path of grants) talk(`      ${path} becomes releasable to workload ${name}`)
  if (grants.length === 0) return
  if (
    !(await confirm(
      'Go on?',
      invocation.options['yes'] === true || !process.stdin.isTTY,
      invocation.signal,
    ))
  )
    throw new CloisterError('cli.declined')
}

async function follow(
  view: WorkloadView,
  { name, plan }: PreparedRun,
  { context, invocation }: { context: RunContext; invocation: Invocation },
): Promise<number> {
  const { output } = invocation
  const detached = invocation.options['detach'] === true
  const tellTrust = async () => {
    const verdict = view.state === 'running' ? await verdictOf(name, context) : undefined
    const trust = verdict?.trust ?? 'unattested'
    const painted = `trust: ${paintTrust(trust, output.painter)}  ${trustMeaning(trust)}`
    if (detached || invocation.format !== 'table')
      await output.object(
        { ...view, trust, launchDigest: verdict?.launchDigest, checks: verdict?.checks ?? [] },
        { name, text: () => `${name}  ${painted}` },
      )
    else output.talk(`ready  ${painted}`)
  }
  if (detached) {
    await tellTrust()
    output.talk(`next: cloister verify ${name}, cloister stop ${name}`)
    return 0
  }
  try {
    // What is read by a program begins with the object; who looks on has the output as it comes.
    if (invocation.format !== 'table') await tellTrust()
    return await untilEnd(
      name,
      plan,
      context,
      invocation.format === 'table' ? tellTrust : undefined,
    )
  } catch (error) {
    const { aborted, reason } = invocation.signal
    const isInterrupted = reason instanceof CloisterError && reason.code === 'cli.interrupted'
    throw aborted && isInterrupted ? await stopInterrupted(context.hostd, name) : error
  }
}

/** Absent when the workload has ended meanwhile. */
async function verdictOf(
  name: string,
  { hostd, broker, directories, signal }: RunContext,
): Promise<TrustVerdict | undefined> {
  const { appraiseWorkload, ownerReferences } = await loadAppraisal()
  const references = await ownerReferences(directories, broker)
  try {
    return (await appraiseWorkload(name, hostd, references(name), { signal })).verdict
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'workload.not-running') return undefined
    throw error
  }
}

/** Shows what the workload may show, beside what is told meanwhile, then gives its exit code. */
async function untilEnd(
  name: string,
  plan: RunPlan,
  context: RunContext,
  meanwhile?: () => Promise<void>,
): Promise<number> {
  const leaving = new AbortController()
  const signal = AbortSignal.any([context.signal, leaving.signal])
  try {
    await Promise.all([plan.logs && showLogs(name, context.hostd, signal), meanwhile?.()])
  } finally {
    leaving.abort()
  }
  for await (const event of followWorkload(name, context)) {
    if (event.type === 'removed') return 0
    const { state, exitCode, error } = event.workload
    if (state === 'exited') return exitCode ?? 0
    if (state === 'failed') throw CloisterError.fromJSON(error)
  }
  return 0
}

async function showLogs(name: string, hostd: HostdClient, signal: AbortSignal): Promise<void> {
  for await (const { stream, text } of hostd.logs(name, { follow: true, signal }))
    printText(text, process[stream])
}
