/**
 * Memory and vCPUs are in RTMR0 of a TD: after a resize its machine is another one. Where all of the new one is predicted, the VM's secrets go to it from
 * then on; where not, the owner is told what to accept after the next start.
 */
import { join } from 'node:path'
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import type { Directories } from '@cloister/protocol/directories'
import type { BrokerClient } from '../owner/broker-client.ts'
import { keepPrediction, readPrediction } from '../td-machine/kept-prediction.ts'
import type { PredictedMachine } from '../td-machine/predict-machine.ts'
import { predictVmMachine } from '../td-machine/predict-vm.ts'
import { acceptMachine } from './accept-machine.ts'

export interface ResizedShape {
  readonly cpus: number
  readonly memoryMiB: number
  /** Absent: as they were named before, if they were. */
  readonly processorId: Uint8Array | undefined
  readonly machineFiles: string | undefined
}

/** A prediction that is made and not yet in force. */
export interface ResizedMachine {
  /** Absent: the boot bundle is not here, or has no firmware for TDX. */
  readonly machine: PredictedMachine | undefined
  /**
   * Puts it into force; called when the resize is done. The same resize again does it again.
   *
   * @returns lines that say where the VM's secrets go now
   */
  renew(broker: () => Pick<BrokerClient, 'secrets' | 'putReleasePolicy'>): Promise<string[]>
}

/** @throws CloisterError `guest-image.*`, `cli.file-unreadable` */
export async function resizedMachine(
  name: string,
  shape: ResizedShape,
  context: {
    readonly directories: Directories
    readonly talk: (line: string) => void
    readonly signal: AbortSignal
  },
): Promise<ResizedMachine> {
  const { directories } = context
  const processorId = shape.processorId ?? (await readPrediction(directories, name)).processorId
  const bundleDirectory = join(directories.images, bundleName(name))
  const machine = await predictVmMachine({ ...shape, processorId, bundleDirectory }, context)
  return {
    machine,
    async renew(broker) {
      await keepPrediction(directories, name, { events: machine?.events ?? [], processorId })
      const { rtmr0, events = [], leftOut } = machine ?? {}
      if (rtmr0 !== undefined) {
        const { secrets } = await acceptMachine(name, rtmr0, broker())
        return [`RTMR0 ${rtmr0}, as predicted: ${secrets.join(', ')} may go to that machine alone`]
      }
      const unknown = events.filter(({ digest }) => digest === undefined).map(({ event }) => event)
      return [
        ...(leftOut === undefined ? [] : [leftOut]),
        `RTMR0 changes with memory and vCPUs, and the new one is not known (${unknown.join(', ') || 'nothing of it'}): the next start gets no secret until you accept it: cloister vm accept-machine ${name}`,
      ]
    },
  }
}
