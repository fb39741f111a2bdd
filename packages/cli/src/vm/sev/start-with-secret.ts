/**
 * Starts a VM under SEV or SEV-ES as its owner: a session with the processor whose certificates lead to AMD, the firmware's measurement held against what
 * the owner has, and only then the secret, in a packet that opens in just that launch.
 */
import { timingSafeEqual } from 'node:crypto'
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { SevLaunch, SevLaunchRequest, VmView } from '@cloister/protocol/hostd-vm-api'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { sevMeasure } from '@cloister/verifier/launch/sev-digest'
import { SevChainError, verifySevChain, type SevRoot } from '@cloister/verifier/sev/chain'
import {
  isAtLeastFirmware,
  SEV_MINIMUM_FIRMWARE,
  type SevFirmware,
} from '@cloister/verifier/sev/firmware'
import type { ExpectedLaunch } from './direct-boot.ts'
import { encodeSecretTable, sealSecret, type LaunchSecret } from './launch-secret.ts'
import { openLaunchSession, type TransportKeys } from './launch-session.ts'

const MEASURE_BYTES = 32

export interface SecretStart {
  readonly name: string
  readonly secrets: readonly LaunchSecret[]
  /** Certificates of the host's platform, as `sevctl export --full` writes them. */
  readonly platform: Uint8Array
  readonly expected: ExpectedLaunch
  /** Absent: {@link SEV_MINIMUM_FIRMWARE}. */
  readonly minimumFirmware?: SevFirmware
  /** Another list in tests alone. */
  readonly roots?: readonly SevRoot[]
}

type Hostd = {
  readonly vms: Pick<HostdClient['vms'], 'launchWithOwner' | 'giveSecret' | 'refuseLaunch'>
}

/**
 * @throws CloisterError `vm.launch-platform`, `vm.launch-measurement`, `vm.launch-firmware`, `cli.usage` for secrets that are too large, and as hostd's; no guest runs then
 */
export async function startWithSecret(
  { name, secrets, platform, expected, minimumFirmware = SEV_MINIMUM_FIRMWARE, roots }: SecretStart,
  hostd: Hostd,
  { talk, signal }: { readonly talk: (line: string) => void; readonly signal: AbortSignal },
): Promise<VmView> {
  const table = encodeSecretTable(secrets, expected.secretAreaBytes)
  const { line, pdh } = await readPlatform(platform, roots)
  talk(`        the certificates of the host's processor lead to AMD's root of ${line}`)
  const { keys, ...owner } = openLaunchSession(pdh, expected.policy)
  try {
    const launch = await launchOrLeave(name, owner, hostd, signal)
    try {
      const measure = await requireMeasure(launch, keys, expected)
      requireFirmware(launch.api, minimumFirmware)
      talk('        the launch is that of your firmware, kernel, initrd and command line')
      return await hostd.vms.giveSecret(name, sealSecret(table, keys, measure), { signal })
    } catch (error) {
      // It may have ended by itself.
      await hostd.vms.refuseLaunch(name).catch(() => undefined)
      throw error
    }
  } finally {
    for (const secret of [keys.tek, keys.tik, table]) secret.fill(0)
  }
}

/** Where it is broken off before the measurement came hostd ends the launch by itself; this waits until nothing of it is left. */
async function launchOrLeave(
  name: string,
  owner: SevLaunchRequest,
  hostd: Hostd,
  signal: AbortSignal,
): Promise<SevLaunch> {
  try {
    return await hostd.vms.launchWithOwner(name, owner, { signal })
  } catch (error) {
    if (signal.aborted) await hostd.vms.refuseLaunch(name).catch(() => undefined)
    throw error
  }
}

/** After the measure was found right, which is made over the version as well. @throws CloisterError `vm.launch-firmware` */
function requireFirmware(firmware: SevFirmware, minimum: SevFirmware): void {
  if (isAtLeastFirmware(firmware, minimum)) return
  throw new CloisterError('vm.launch-firmware', {
    expected: `${firmwareText(minimum)} or newer`,
    received: firmwareText(firmware),
  })
}

function firmwareText({ major, minor, build }: SevFirmware): string {
  return `${major}.${minor} build ${build}`
}

async function readPlatform(platform: Uint8Array, roots: readonly SevRoot[] | undefined) {
  try {
    return await verifySevChain(platform, roots)
  } catch (cause) {
    if (!(cause instanceof SevChainError || cause instanceof FormatError)) throw cause
    throw new CloisterError('vm.launch-platform', { received: cause.message, cause })
  }
}

/** @returns the measure, which binds the packet. @throws CloisterError `vm.launch-measurement` */
async function requireMeasure(
  { measurement, api }: SevLaunch,
  { tik }: TransportKeys,
  { policy, launchDigest }: ExpectedLaunch,
): Promise<Uint8Array> {
  const bytes = Buffer.from(measurement, 'base64')
  const [measure, nonce] = [bytes.subarray(0, MEASURE_BYTES), bytes.subarray(MEASURE_BYTES)]
  const { major: apiMajor, minor: apiMinor, build } = api
  const wanted = await sevMeasure({ tik, apiMajor, apiMinor, build, policy, launchDigest, nonce })
  if (timingSafeEqual(measure, wanted)) return measure
  throw new CloisterError('vm.launch-measurement', {
    expected: `launch digest ${toHex(launchDigest)}, policy 0x${policy.toString(16)}`,
    received: `a measure by firmware ${apiMajor}.${apiMinor} build ${build} that is not made over it`,
  })
}
