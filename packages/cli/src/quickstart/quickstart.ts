/** The main job, end to end, on one machine: set up, run the demo in a guest that has to prove itself, verify it, attack it. */
import { randomBytes } from 'node:crypto'
import { predictions } from '@cloister/image/predictions'
import type { HostdClient } from '@cloister/hostd/client'
import { ensureHostd } from '@cloister/hostd/ensure'
import type { GuestImage } from '@cloister/image/images'
import { CloisterError } from '@cloister/protocol/error'
import type { StageRecord, WorkloadView } from '@cloister/protocol/hostd-api'
import { DEFAULT_SCRATCH_MIB } from '@cloister/protocol/scratch-space'
import { runAttack, type Attack, type AttackResult, type Battlefield } from '../attacks/attack.ts'
import type { Invocation } from '../command.ts'
import type { Output } from '../output.ts'
import { openHostd } from '../hostd.ts'
import { appraiseWorkload, ownerReferences } from '../owner/appraise-workload.ts'
import type { BrokerClient } from '../owner/broker-client.ts'
import { ensureBroker } from '../owner/local-broker.ts'
import { pinLocalSimulatedRoot } from '../owner/simulated-roots.ts'
import type { TrustVerdict } from '../owner/trust-state.ts'
import { ensureGuestImage } from '../setup/ensure-guest-image.ts'
import { installPackages, type InstallOptions } from '../setup/install-packages.ts'
import { missingRequirements, RUN_REQUIREMENTS } from '../setup/requirements.ts'
import { clearWorkload } from '../workload/abandon-run.ts'
import { awaitRunning } from '../workload/await-running.ts'
import type { RunTee } from '../workload/choose-tee.ts'
import { releasePolicyFor } from '../workload/register.ts'
import type { RunPlan } from '../workload/run-plan.ts'
import {
  findImage,
  prepareRun,
  startRun,
  type RunContext,
  type StartedRun,
} from '../workload/start-workload.ts'
import { callDemo } from './call-demo.ts'
import { DEMO, ensureDemoImage, type DemoImage } from './demo-image.ts'
import { freePort } from '../free-port.ts'
import { StageClock, type StageTime } from './stage-clock.ts'
import { stageText } from '../stage-text.ts'

export interface QuickstartResult {
  readonly trust: TrustVerdict['trust']
  readonly tee: RunTee
  /** As the running guest's report has it. */
  readonly launchDigest: string
  /** As predicted from the files, before the start. */
  readonly measured: string
  readonly imageDigest: string
  /** Of this run, as the broker's audit log has them. */
  readonly attestations: number
  readonly endpoint: string
  readonly proof: { readonly nonce: string; readonly hmac: string }
  readonly checks: TrustVerdict['checks']
  readonly attacks: readonly AttackResult[]
  readonly stages: readonly StageTime[]
  readonly boot: readonly StageRecord[]
}

const CPUS = 1
const VCPU_TYPE = 'EPYC-v4'
const PREFERRED_PORT = 18_080

export async function quickstart(
  invocation: Invocation,
  confirmInstall: InstallOptions['confirm'],
): Promise<QuickstartResult> {
  const { output, directories, signal } = invocation
  const clock = new StageClock(output)
  const tee = await clock.stage('look at this host', async () => await findTee(invocation), sayTee)
  await clock.stage(
    'packages',
    async () =>
      await installPackages(missingRequirements(RUN_REQUIREMENTS), {
        confirm: confirmInstall,
        talk: output.talk,
        signal,
      }),
  )
  const { image } = await clock.stage(
    'guest image',
    async () => await ensureGuestImage({ directories, talk: output.talk, signal }),
    ({ image: { manifest }, reused }) =>
      `${reused ? 'reused' : 'built'}, version ${manifest.imageVersion}`,
  )
  const broker = await clock.stage(
    'broker',
    async () => await ensureBroker(directories, signal, { talk: output.talk }),
    ({ pinned }) => pinned.url,
  )
  const hostd = await clock.stage('hostd', async () => await openHostd(invocation))
  if (tee === 'simulated') await broker.pinSimulatedRoot(await pinLocalSimulatedRoot(directories))
  const demo = await clock.stage(
    'demo image',
    async () => await ensureDemoImage(directories, broker, signal),
    ({ digest, reused }) =>
      `${reused ? 'reused' : 'built, encrypted, signed'}, ${digest.slice(0, 19)}`,
  )
  const secret = randomBytes(32)
  await clock.stage('secret and policies', async () => await giveSecret(broker, secret, image, tee))
  await clearWorkload(hostd, DEMO.name)
  const context: RunContext = { directories, broker, hostd, guestImage: image, tee, signal }
  const attacked = await orNothing(invocation, async () => {
    const port = await freePort(PREFERRED_PORT)
    const startedAt = Date.now()
    const { run, view } = await clock.stage(
      'run',
      async () => await runDemo(demo, port, context, output),
    )
    const endpoint = `http://127.0.0.1:${port}/`
    const answer = await clock.stage(
      'call the demo',
      async () => await callDemo(port, secret, signal),
      () => `${endpoint} proved that it holds the secret`,
    )
    const verdict = await clock.stage(
      'verify',
      async () => await verifyDemo(hostd, broker, invocation),
      ({ trust }) => `trust: ${trust}`,
    )
    const attestations = await countAttestations(broker, startedAt)
    const field = battlefield({ invocation, broker, image, demo, run, verdict })
    const attacks = await clock.stage(
      'attacks',
      async () => await attackAll(field, tee, output),
      sayAttacks,
    )
    return { endpoint, view, answer, verdict, attestations, attacks }
  })
  const measured = await measuredDigest(image, tee)
  if (invocation.options['keep'] !== true)
    await clock.stage('clean up', async () => await clearDemo(invocation))
  const { endpoint, view, answer, verdict, attestations, attacks } = attacked
  return {
    trust: verdict.trust,
    tee,
    launchDigest: verdict.launchDigest ?? '',
    measured,
    imageDigest: demo.digest,
    attestations,
    endpoint,
    proof: { nonce: answer.nonce, hmac: answer.proof },
    checks: verdict.checks,
    attacks,
    stages: clock.stages,
    boot: view.stages,
  }
}

/** What `work` gives. An interruption or a failure leaves no demo behind; only a failure with --keep does, to look at. */
async function orNothing<Result>(
  invocation: Invocation,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    const { signal, options, output } = invocation
    if (signal.aborted || options['keep'] !== true) {
      output.waiting('  ...   clean up')
      await clearDemo(invocation)
    }
    throw error
  }
}

/** Asks a hostd that may be another than before the attacks, and does so after an interruption too. */
async function clearDemo({ directories }: Invocation): Promise<void> {
  await clearWorkload(await ensureHostd(directories), DEMO.name)
}

async function findTee({ directories, signal }: Invocation): Promise<RunTee> {
  const { probeHost } = await import('@cloister/launcher/probe/probe-host')
  const { canRun } = await probeHost({ directories, signal })
  return canRun.includes('snp') ? 'snp' : 'simulated'
}

function sayTee(tee: RunTee): string {
  return tee === 'snp' ? 'SEV-SNP' : 'no TEE: simulation, nothing is protected'
}

/** The demo's secret is new each time and is never written to this machine's disk in clear. */
async function giveSecret(
  broker: BrokerClient,
  secret: Uint8Array,
  image: GuestImage,
  tee: RunTee,
): Promise<void> {
  const release = releasePolicyFor(DEMO.name, image.manifest, tee)
  await broker.putSecret(DEMO.secret, {
    value: Buffer.from(secret).toString('base64'),
    allowSimulated: tee === 'simulated',
    release,
  })
  await broker.putReleasePolicy(DEMO.imageKey, release)
}

async function runDemo(
  demo: DemoImage,
  port: number,
  context: RunContext,
  { talk, waiting }: Output,
): Promise<{ run: StartedRun; view: WorkloadView }> {
  const plan = demoPlan(demo, port)
  using image = await findImage(plan, context)
  const prepared = await prepareRun(plan, image, context)
  const run = await startRun(prepared, context)
  const view = await awaitRunning(DEMO.name, {
    ...context,
    onStage: (stage) => {
      talk(`        ${stageText(stage)}`)
      waiting(`  ...         after ${stage.name}`)
    },
  })
  return { run, view }
}

function demoPlan(demo: DemoImage, port: number): RunPlan {
  return {
    image: demo.image,
    name: DEMO.name,
    tee: 'auto',
    ports: [{ address: '127.0.0.1', host: port, guest: DEMO.port }],
    env: [],
    secrets: [{ resource: DEMO.secret, file: DEMO.secretFile }],
    resources: [],
    cpus: CPUS,
    memoryMiB: 1024,
    scratchMiB: DEFAULT_SCRATCH_MIB,
    args: [],
    entrypoint: undefined,
    logs: false,
    debug: false,
    signedBy: demo.publicKeyFile,
    registryCa: undefined,
    registryCredentials: undefined,
    policy: undefined,
    instances: undefined,
  }
}

async function verifyDemo(
  hostd: HostdClient,
  broker: BrokerClient,
  { directories, signal }: Invocation,
): Promise<TrustVerdict> {
  const references = await ownerReferences(directories, broker)
  const { verdict } = await appraiseWorkload(DEMO.name, hostd, references(DEMO.name), { signal })
  if (verdict.trust === 'failed')
    throw new CloisterError('trust.refused', {
      received: verdict.checks
        .filter(({ outcome }) => outcome === 'fail')
        .map(({ code }) => code)
        .join(', '),
    })
  return verdict
}

/** What the broker itself has seen; the guest's own count would be its word. */
async function countAttestations(broker: BrokerClient, since: number): Promise<number> {
  const entries = await broker.audit({ workload: DEMO.name, limit: 100 })
  return entries.filter(
    ({ kind, outcome, time }) => kind === 'attestation' && outcome === 'allowed' && time >= since,
  ).length
}

function battlefield(parts: {
  invocation: Invocation
  broker: BrokerClient
  image: GuestImage
  demo: DemoImage
  run: StartedRun
  verdict: TrustVerdict
}): Battlefield {
  const { invocation, broker, image, demo, run, verdict } = parts
  return {
    directories: invocation.directories,
    broker,
    hostd: async () => await openHostd(invocation),
    guestImage: image,
    workload: DEMO.name,
    initdata: run.initdata,
    launchDigest: verdict.launchDigest ?? '',
    layout: demo.layout,
    imageDigest: demo.digest,
    publicKeyFile: demo.publicKeyFile,
    imageKey: DEMO.imageKey,
    secret: DEMO.secret,
    signal: invocation.signal,
  }
}

/** On hardware the host cannot forge a report, so what needs the simulated processor's key is left out there. */
async function attackAll(
  field: Battlefield,
  tee: RunTee,
  { talk, waiting }: Output,
): Promise<AttackResult[]> {
  const { EVIDENCE_ATTACKS } = await import('../attacks/evidence-attacks.ts')
  const { IMAGE_ATTACKS } = await import('../attacks/image-attacks.ts')
  const { RUNTIME_ATTACKS } = await import('../attacks/runtime-attacks.ts')
  const { BOOT_ATTACKS } = await import('../attacks/boot-attacks.ts')
  const chosen: readonly Attack[] =
    tee === 'simulated'
      ? [...EVIDENCE_ATTACKS, ...IMAGE_ATTACKS, ...RUNTIME_ATTACKS, ...BOOT_ATTACKS]
      : [...IMAGE_ATTACKS, ...RUNTIME_ATTACKS]
  const results: AttackResult[] = []
  for (const attack of chosen) {
    waiting(`  ...   attack: ${attack.story}`)
    const result = await runAttack(attack, field)
    talk(
      `        ${result.refused ? 'refused' : 'NOT REFUSED'}  ${result.code.padEnd(32)} ${result.story}`,
    )
    results.push(result)
  }
  return results
}

function sayAttacks(results: readonly AttackResult[]): string {
  return `${results.filter(({ refused }) => refused).length} of ${results.length} refused`
}

async function measuredDigest({ directory, manifest }: GuestImage, tee: RunTee): Promise<string> {
  const expected = await predictions(directory, manifest)
  return expected[tee === 'simulated' ? 'simulated' : 'hardware'][VCPU_TYPE]?.[String(CPUS)] ?? ''
}
