/** What an attack is: something that the owner of a host, or a network in between, really does, and how it must end. */
import type { HostdClient } from '@cloister/hostd/client'
import type { GuestImage } from '@cloister/image/images'
import type { Directories } from '@cloister/protocol/directories'
import type { BrokerClient } from '../owner/broker-client.ts'

/** The running demo and the parts around it. */
export interface Battlefield {
  readonly directories: Directories
  readonly broker: BrokerClient
  /** Finds hostd, or starts it again when an attack has killed it. */
  readonly hostd: () => Promise<HostdClient>
  readonly guestImage: GuestImage
  /** Name of the running workload. */
  readonly workload: string
  /** Its initdata, as registered. */
  readonly initdata: Uint8Array
  /** Its launch digest, 96 hex digits. */
  readonly launchDigest: string
  /** Layout folder of its image, the manifest's digest, and the key that signed it. */
  readonly layout: string
  readonly imageDigest: string
  readonly publicKeyFile: string
  /** Resource of the broker that holds the image key. */
  readonly imageKey: string
  /** The secret that the workload gets. */
  readonly secret: string
  readonly signal: AbortSignal
}

export interface Refusal {
  /** Code of the check or error that refused; absent when nothing refused. */
  readonly code: string | undefined
  /** Who refused. */
  readonly by: 'guest' | 'broker' | 'owner'
}

export interface Attack {
  readonly name: string
  /** What the attacker does, in one phrase. */
  readonly story: string
  /** Codes of which the refusal must have one. */
  readonly expected: readonly string[]
  attempt(field: Battlefield): Promise<Refusal>
}

export interface AttackResult {
  readonly name: string
  readonly story: string
  readonly refused: boolean
  readonly code: string
  readonly by: Refusal['by']
  readonly seconds: number
}

/** Runs one attack. It counts as refused only when it was refused for the reason that the attack is about. */
export async function runAttack(attack: Attack, field: Battlefield): Promise<AttackResult> {
  const start = performance.now()
  const { code, by } = await attack.attempt(field)
  return {
    name: attack.name,
    story: attack.story,
    refused: code !== undefined && attack.expected.includes(code),
    code: code ?? 'none',
    by,
    seconds: Math.round((performance.now() - start) / 10) / 100,
  }
}
