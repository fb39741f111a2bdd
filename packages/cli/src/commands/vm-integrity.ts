import { CloisterError } from '@cloister/protocol/error'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { IntegrityBaseline } from '@cloister/verifier/eventlog/integrity-baseline'
import { textOption, type Command, type Invocation } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { openBroker } from '../owner/broker-client.ts'
import {
  appraiseBoot,
  integrityExit,
  readBaseline,
  type BootAppraisal,
} from '../vm/appraise-boot.ts'
import { openDiskImage } from '../vm/disk-catalogue.ts'
import { integrityText } from '../vm/integrity-text.ts'
import { predictBaseline } from '../vm/predict-baseline.ts'
import { askQuotedBoot, NO_AGENT, type QuotedBoot } from '../vm/quoted-boot.ts'

type Hostd = Awaited<ReturnType<typeof openHostd>>
/** In an event: the first ones, so that a history stays small. */
const EVENT_CHANGES = 10

export const command: Command = {
  usage: 'vm integrity NAME [--learn | --diff | --predict IMAGE]',
  details:
    'Compares what the present boot measured with the baseline: early (PCRs 0 to 7: firmware, Secure Boot, boot loaders) and late (8, 9, 11 to 14:\ntheir configuration, kernel parameters, initial file system). It finds changes made inside the guest; whoever runs the host can forge the log.\nExits 0 on match, 2 on mismatch, 3 when nobody can say.',
  options: {
    learn: { type: 'boolean', help: 'take the present boot as the baseline' },
    diff: { type: 'boolean', help: 'show each difference with its digests' },
    predict: {
      type: 'string',
      value: 'IMAGE',
      help: 'work the baseline out from the disk image that the VM was made from',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { options, output, positionals } = invocation
    const [name = ''] = positionals
    const isLearning = options['learn'] === true
    const image = textOption(invocation, 'predict')
    if ([isLearning, options['diff'] === true, image !== undefined].filter(Boolean).length > 1)
      throw new CloisterError('cli.usage', { expected: 'one of --learn, --diff and --predict' })
    const hostd = await openHostd(invocation)
    const view = await hostd.vms.get(name, { signal: invocation.signal })
    if (!view.vtpm) throw new CloisterError('vm.no-vtpm', { where: name })
    if (image !== undefined) await predict(view, image, hostd, invocation)
    const baseline = await storedBaseline(name, hostd, invocation)
    const { log, quote } = await quotedBoot(view, hostd, invocation)
    output.waiting('  ...      looking for the event log in the guest')
    const { bytes, source } =
      log === undefined
        ? await bootLog(view, hostd, invocation)
        : { bytes: log, source: 'agent' as const }
    output.waiting(undefined)
    const appraisal = await appraiseBoot(bytes, baseline, view.secureBoot, quote)
    // Of this boot against the baseline of until now.
    await note(name, appraisal, hostd, invocation)
    const current = isLearning ? await learn(name, appraisal, hostd, invocation) : baseline
    const shown = {
      name,
      early: appraisal.early,
      late: appraisal.late,
      quoted: appraisal.quoted,
      baseline: current === undefined ? null : describe(current, isLearning),
      changes: appraisal.changes,
      registers: appraisal.registers,
      secureBoot: appraisal.secureBoot,
      source,
      checks: appraisal.checks,
    }
    const telling = { isFull: options['diff'] === true, isRunning: view.state === 'running' }
    const text = () => integrityText(shown, telling, output.painter)
    await output.object(shown, { name, text })
    // What was learned is the owner's word, whatever the baseline before it said.
    return isLearning ? 0 : integrityExit(appraisal)
  },
}

function describe({ origin, bank, registers }: IntegrityBaseline, isNew: boolean) {
  return { origin, bank, isNew, pcrs: registers.map(({ pcr }) => pcr) }
}

async function predict(
  { name, secureBoot, secureBootKeys }: VmView,
  image: string,
  hostd: Hostd,
  { directories, output, signal }: Invocation,
): Promise<void> {
  const { path } = await openDiskImage(image, { directories, talk: output.talk, signal })
  const keys = secureBootKeys === 'own' ? 'unknown' : 'microsoft'
  const baseline = await predictBaseline({ image: path, secureBoot, secureBootKeys: keys, signal })
  await hostd.vms.storeBaseline(name, baseline, { signal })
}

async function storedBaseline(
  name: string,
  hostd: Hostd,
  { signal }: Invocation,
): Promise<IntegrityBaseline | undefined> {
  try {
    return readBaseline(await hostd.vms.baseline(name, { signal }))
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'vm.baseline-unknown') return undefined
    throw error
  }
}

async function quotedBoot(
  { name, state, hasAgent }: VmView,
  hostd: Hostd,
  { directories, signal }: Invocation,
): Promise<QuotedBoot> {
  if (state !== 'running' || !hasAgent) return { quote: NO_AGENT }
  const references = async () => {
    const broker = openBroker(directories, signal)
    const [{ attestationAuthority }, anchors] = await Promise.all([
      broker.status(),
      broker.tpmAnchors(),
    ])
    return { attestationAuthority, tpmAnchors: anchors.map(({ fingerprint }) => fingerprint) }
  }
  return await askQuotedBoot(name, { hostd, references, signal })
}

/** A machine at rest has no boot to judge, and one without a log none that can be. */
async function bootLog(
  { name }: VmView,
  hostd: Hostd,
  { signal }: Invocation,
): Promise<{ bytes?: Uint8Array; source: 'agent' | 'memory' | null }> {
  try {
    const { source, log } = await hostd.vms.bootLog(name, { signal })
    return { bytes: Buffer.from(log, 'base64'), source }
  } catch (error) {
    const isAbsent =
      error instanceof CloisterError &&
      (error.code === 'vm.boot-log-unavailable' || error.code === 'vm.not-running')
    if (!isAbsent) throw error
    return { source: null }
  }
}

async function learn(
  name: string,
  { learned }: BootAppraisal,
  hostd: Hostd,
  { signal }: Invocation,
): Promise<IntegrityBaseline> {
  if (learned === undefined) throw new CloisterError('vm.boot-log-unavailable', { where: name })
  await hostd.vms.storeBaseline(name, learned, { signal })
  return learned
}

/** Nothing is noted of a boot that nobody could judge. */
async function note(
  name: string,
  { early, late, quoted, changes }: BootAppraisal,
  hostd: Hostd,
  { signal }: Invocation,
): Promise<void> {
  if (early === 'unknown' && late === 'unknown') return
  const found = changes
    .filter(({ isExplained }) => !isExplained)
    .slice(0, EVENT_CHANGES)
    .map(({ component, pcr, kind, expected, received }) => ({
      component,
      pcr,
      kind,
      ...(expected !== undefined && { expected }),
      ...(received !== undefined && { received }),
    }))
  const detail = { early, late, quoted, changes: found }
  const why = `early boot: ${early}, late boot: ${late}`
  await hostd.vms.noteIntegrity(name, { type: 'integrity', why, detail }, { signal })
}
