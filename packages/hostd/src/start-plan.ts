/** Reads a start request against the initdata that comes with it: what will be asked of host and guest, and what is refused at once. */
import { createHash, randomBytes } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import type { StartRequest } from '@cloister/protocol/hostd-api'
import { parseInitdata, parseWorkload } from '@cloister/protocol/initdata'
import type { Workload as WorkloadDocument } from '@cloister/protocol/workload'
import type { WorkloadRecord } from './record.ts'

export interface StartPlan {
  readonly initdata: Uint8Array
  readonly record: WorkloadRecord
}

/** The workload document in initdata. Its owner made it; whether the guest runs it is for the guest to say. */
export function readWorkload(initdata: Uint8Array): WorkloadDocument {
  return parseWorkload(parseInitdata(initdata))
}

/**
 * @param imageVersion - of the guest image asked for
 * @throws CloisterError `initdata.*`, `workload.target-missing`, `workload.port-unlisted`, `workload.egress-unsupported`
 */
export function planStart(request: StartRequest, imageVersion: number, now: Date): StartPlan {
  const { initdata: encoded, ...settings } = request
  const initdata = Buffer.from(encoded, 'base64')
  const workload = readWorkload(initdata)
  const { name, tee, debug, vcpuType, cpus, memoryMiB, scratchMiB, ports } = settings
  const record: WorkloadRecord = {
    version: 1,
    request: { ...settings, targets: wantedTargets(request, workload) },
    step: 'taken',
    container: {
      id: workload.container.id,
      readStdout: workload.hostPolicy.readStdout,
      readStderr: workload.hostPolicy.readStderr,
      signal: workload.hostPolicy.signal,
    },
    view: {
      id: randomBytes(6).toString('hex'),
      name,
      state: 'starting',
      tee,
      debug,
      guestImage: { name: request.guestImage, imageVersion },
      vcpuType,
      cpus,
      memoryMiB,
      scratchMiB,
      ports,
      image: { reference: workload.image.reference, digest: workload.image.digest },
      initdataDigest: createHash('sha256').update(initdata).digest('hex'),
      createdAt: now.toISOString(),
      stages: [],
    },
  }
  checkNetwork(request, workload)
  return { initdata, record }
}

/** Only what the initdata names is carried, whatever else the request maps. */
function wantedTargets(
  { targets }: StartRequest,
  { network }: WorkloadDocument,
): StartRequest['targets'] {
  const wanted: StartRequest['targets'] = {}
  for (const name of network.targets) {
    const target = Object.hasOwn(targets, name) ? targets[name] : undefined
    if (target === undefined) throw new CloisterError('workload.target-missing', { where: name })
    wanted[name] = target
  }
  return wanted
}

function checkNetwork({ ports }: StartRequest, { network }: WorkloadDocument): void {
  const unlisted = ports.find(({ guest }) => !network.ports.includes(guest))
  if (unlisted !== undefined)
    throw new CloisterError('workload.port-unlisted', {
      where: `port ${unlisted.guest} of the guest`,
      expected: network.ports.join(', ') || 'none',
    })
  if (network.egress !== 'none')
    throw new CloisterError('workload.egress-unsupported', { received: network.egress })
}
