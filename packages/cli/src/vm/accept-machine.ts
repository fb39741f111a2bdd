/**
 * RTMR0 of a TD speaks of the machine as its host made it. Where it is not what was predicted, the owner accepts a value on purpose: after a refused release
 * for which RTMR0 was all that was missing, that is trust on first use. Where the guest showed its event log, the owner sees which events nothing predicted.
 */
import {
  MACHINE_EVENT,
  type AuditCheck,
  type AuditEntry,
} from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { fromHex, toHex } from '@cloister/verifier/bytes/hex'
import { compareMachine, type ComparedEvent } from '@cloister/verifier/tdx/compare-machine'
import type { MachineEvent } from '@cloister/verifier/tdx/machine-events'
import { replayRtmr } from '@cloister/verifier/tdx/rtmr'
import type { BrokerClient } from '../owner/broker-client.ts'
import { vmResources } from './vm-resources.ts'

type Broker = Pick<BrokerClient, 'audit' | 'secrets' | 'putReleasePolicy'>

export interface AcceptedMachine {
  readonly rtmr0: string
  /** Paths of the secrets whose policies name it now. */
  readonly secrets: readonly string[]
}

const ENTRIES = 200
/** The checks that speak of RTMR0, as release policies have them. */
const MACHINE_CHECKS = new Set(['release.attestation-degraded', 'release.tdx.rtmr0'])

/**
 * Names a value of RTMR0, and no other, in the policies of the VM's secrets for TDX.
 *
 * @throws CloisterError `vm.machine-unknown`
 */
export async function acceptMachine(
  name: string,
  rtmr0: string,
  broker: Pick<Broker, 'secrets' | 'putReleasePolicy'>,
): Promise<AcceptedMachine> {
  const secrets = await tdxSecrets(name, broker)
  if (secrets.length === 0)
    throw new CloisterError('vm.machine-unknown', {
      where: name,
      why: 'the broker keeps no secret for a VM of that name under TDX',
    })
  for (const { path, release } of secrets)
    await broker.putReleasePolicy(path, {
      ...release,
      tdx: { ...release.tdx, rtmr0: [rtmr0] },
    })
  return { rtmr0, secrets: secrets.map(({ path }) => path) }
}

/** The values that every one of the VM's policies for TDX names; none where one names none. */
export async function acceptedMachines(
  name: string,
  broker: Pick<Broker, 'secrets'>,
): Promise<readonly string[]> {
  const [first, ...others] = (await tdxSecrets(name, broker)).map(
    ({ release }) => release.tdx?.rtmr0 ?? [],
  )
  return (first ?? []).filter((value) => others.every((values) => values.includes(value)))
}

async function tdxSecrets(name: string, broker: Pick<Broker, 'secrets'>) {
  const own: readonly string[] = Object.values(vmResources(name))
  return (await broker.secrets()).flatMap(({ path, release }) =>
    own.includes(path) && release !== null && release.kind !== 'tpm' && hasTdx(release.anchors)
      ? [{ path, release }]
      : [],
  )
}

function hasTdx(anchors: readonly string[]): boolean {
  return anchors.includes('intel')
}

export interface RefusedMachine {
  readonly rtmr0: string
  /** Of the refusal, milliseconds since 1970. */
  readonly time: number
}

/**
 * The machine of the latest refused release for which nothing else was missing.
 *
 * @throws CloisterError `vm.machine-unknown`
 */
export async function refusedMachine(
  name: string,
  broker: Pick<Broker, 'audit'>,
): Promise<RefusedMachine> {
  const own: readonly string[] = Object.values(vmResources(name))
  const entries = await broker.audit({ workload: name, limit: ENTRIES })
  for (const entry of entries) {
    if (entry.kind !== 'release' || !own.includes(entry.subject ?? '')) continue
    const rtmr0 = machineIn(entry)
    if (rtmr0 !== undefined) return { rtmr0, time: entry.time }
    // A later release that was refused for more, or allowed, says that there is nothing to accept.
    break
  }
  throw new CloisterError('vm.machine-unknown', { where: name })
}

/** @returns undefined unless RTMR0 is the only thing that kept the secret back */
function machineIn({ checks }: AuditEntry): string | undefined {
  const failed = checks.filter(({ outcome }) => outcome !== 'pass')
  const [only] = failed
  if (failed.length !== 1 || only === undefined || !MACHINE_CHECKS.has(only.code)) return undefined
  return valueIn(only)
}

function valueIn({ code, received = '' }: AuditCheck): string | undefined {
  const text =
    code === 'release.tdx.rtmr0' ? received : /names no RTMR0; it is (\w+)$/.exec(received)?.[1]
  return text !== undefined && /^[0-9a-f]{96}$/.test(text) ? text : undefined
}

/**
 * The events of a machine, from the latest attestation whose log adds up to just this register, beside those that were predicted.
 *
 * @returns undefined where no guest of that name showed such a log
 */
export async function explainMachine(
  name: string,
  rtmr0: string,
  { predicted, broker }: { predicted: readonly MachineEvent[]; broker: Pick<Broker, 'audit'> },
): Promise<readonly ComparedEvent[] | undefined> {
  for (const { kind, checks } of await broker.audit({ workload: name, limit: ENTRIES })) {
    if (kind !== 'attestation') continue
    const events = checks.filter(({ code }) => code === MACHINE_EVENT).map(loggedEvent)
    if (events.length > 0 && (await registerOf(events)) === rtmr0)
      return compareMachine(predicted, events)
  }
  return undefined
}

function loggedEvent({ received = '', where = '' }: AuditCheck) {
  const isMeasured = !where.startsWith('(')
  return { digest: received, description: isMeasured ? where : where.slice(1, -1), isMeasured }
}

async function registerOf(events: readonly { readonly digest: string }[]): Promise<string> {
  return toHex(await replayRtmr(events.map(({ digest }) => fromHex(digest))))
}
