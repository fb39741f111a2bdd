import { CloisterError } from '@cloister/protocol/error'
import type { HostdClient } from '@cloister/hostd/client'
import { isCatalogueName } from '@cloister/image/disk/catalogue'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { Command, Invocation } from '../command.ts'
import { confirm } from '../confirm.ts'
import { openHostd } from '../hostd.ts'
import { trustOfGuests } from '../owner/trust-of-guests.ts'
import { installPackages } from '../setup/install-packages.ts'
import {
  CATALOGUE_REQUIREMENTS,
  BRIDGE_REQUIREMENTS,
  MEASURED_VM_REQUIREMENTS,
  missingRequirements,
  RUN_REQUIREMENTS,
  VM_REQUIREMENTS,
} from '../setup/requirements.ts'
import { DETACH_OPTION, followStart } from '../vm/follow-start.ts'
import { createVm, planLines, prepareVm, type CreateContext } from '../vm/create-vm.ts'
import { readCreatePlan, VM_CREATE_OPTIONS, type CreatePlan } from '../vm/create-plan.ts'
import { storePrediction } from '../vm/store-prediction.ts'
import { vmText } from '../vm/vm-text.ts'

export const command: Command = {
  usage: 'vm create NAME --image FILE|NAME [options]',
  details:
    'Makes a VM from a copy of the disk image and starts it. The plan is shown first; on a terminal it asks.\nWith --tee none the disk boots unchanged under Secure Boot with a vTPM: protection against changes inside the guest, none against the host.',
  options: { ...VM_CREATE_OPTIONS, ...DETACH_OPTION },
  positionals: [1, 1],
  async run(invocation) {
    const { directories, output, signal } = invocation
    const plan = readCreatePlan(invocation)
    await install(plan, invocation)
    const hostd = await openHostd(invocation)
    const context: CreateContext = { directories, hostd, talk: output.talk, signal }
    await using prepared = await prepareVm(plan, context)
    for (const line of planLines(prepared)) output.talk(line)
    if (!(await agreed('Create it?', invocation))) throw new CloisterError('cli.declined')
    const defined = await createVm(prepared, context)
    for (const line of await storePrediction(prepared, context)) output.talk(line)
    // It takes its secret from its owner at the start.
    const isStarted = plan.start && plan.direct === undefined
    const view = isStarted
      ? await followStart(await started(plan.name, hostd, invocation), hostd, invocation)
      : defined
    const [trust = 'unattested'] = await trustOfGuests([view], hostd, invocation)
    const shown = { ...view, trust }
    await output.object(shown, {
      name: plan.name,
      text: () => vmText(shown, output.painter),
    })
    const start = `cloister vm start ${plan.name}${plan.direct === undefined ? '' : ' --launch-secret FILE --sev-platform FILE'}`
    output.talk(
      isStarted
        ? `next: cloister vm ssh ${plan.name}, cloister vm logs ${plan.name} -f`
        : `next: ${start}`,
    )
  },
}

/** One that is made and does not start stays: what it lacks may be mended, and its disk may have been encrypted for minutes. */
async function started(
  name: string,
  hostd: HostdClient,
  { output, signal }: Invocation,
): Promise<VmView> {
  try {
    return await hostd.vms.start(name, {}, { signal })
  } catch (error) {
    output.talk(`${name} is made, and did not start`)
    output.talk(`next: cloister vm start ${name}, or cloister vm rm ${name}`)
    throw error
  }
}

/** TEEs that never measure the boot of a disk. */
const BOOTED_BY_FIRMWARE: ReadonlySet<string> = new Set(['none', 'sev', 'sev-es'])

async function install({ image, tee, network }: CreatePlan, invocation: Invocation): Promise<void> {
  const { options, output, signal } = invocation
  const wanted = [
    ...RUN_REQUIREMENTS,
    ...VM_REQUIREMENTS,
    ...(isCatalogueName(image) ? CATALOGUE_REQUIREMENTS : []),
    ...(BOOTED_BY_FIRMWARE.has(tee) ? [] : MEASURED_VM_REQUIREMENTS),
    ...(network.kind === 'bridge' ? BRIDGE_REQUIREMENTS : []),
  ]
  await installPackages(missingRequirements(wanted), {
    confirm: async (question) => await confirm(question, options['yes'] === true, signal),
    talk: output.talk,
    signal,
  })
}

/** Without a terminal the command line itself is the yes: making a VM destroys nothing. */
async function agreed(question: string, { options, signal }: Invocation): Promise<boolean> {
  return await confirm(question, options['yes'] === true || !process.stdin.isTTY, signal)
}
