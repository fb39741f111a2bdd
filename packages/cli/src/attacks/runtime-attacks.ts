/** Attacks on the running guest: the host speaks to its agent in place of hostd. */
import { join } from 'node:path'
import { GuestLink } from '@cloister/hostd/guest-link'
import { identifyProcess, untilGone } from '@cloister/launcher/process-identity'
import { SOCKETS } from '@cloister/launcher/vm-files'
import { CloisterError } from '@cloister/protocol/error'
import { parseInitdata, parseWorkload } from '@cloister/protocol/initdata'
import type { Attack, Battlefield, Refusal } from './attack.ts'
import { EXEC, OTHER_CONTAINER, type HostRequest } from './host-requests.ts'

/** Takes hostd away (a port has one client), and lets it find its guests again afterwards. @param act - gets the folder of the VM's sockets */
export async function inPlaceOfHostd<Result>(
  field: Battlefield,
  act: (sockets: string) => Promise<Result>,
  { isKilled = false } = {},
): Promise<Result> {
  const hostd = await field.hostd()
  const [{ id }, { pid }] = [await hostd.get(field.workload), await hostd.info()]
  const identity = await identifyProcess(pid)
  if (isKilled) process.kill(pid, 'SIGKILL')
  else await hostd.shutdown()
  if (identity !== undefined) await untilGone(identity)
  try {
    return await act(join(field.directories.runtime, 'vm', id))
  } finally {
    await field.hostd()
  }
}

/** Sends requests to the agent, one after the other. @returns the refusal of each */
export async function sendRequests(
  field: Battlefield,
  sockets: string,
  requests: readonly HostRequest[],
): Promise<Refusal[]> {
  const workload = parseWorkload(parseInitdata(field.initdata))
  const link = new GuestLink(join(sockets, SOCKETS.agent))
  const refusals: Refusal[] = []
  try {
    for (const request of requests)
      refusals.push({
        code: await request.send(link, workload).then(
          () => undefined,
          (error: unknown) => CloisterError.from(error).code,
        ),
        by: 'guest',
      })
    return refusals
  } finally {
    link.close()
  }
}

function attackBy(request: HostRequest): Attack {
  const { name, story, expected } = request
  return {
    name,
    story,
    expected: [expected],
    async attempt(field) {
      const [refusal] = await inPlaceOfHostd(
        field,
        async (sockets) => await sendRequests(field, sockets, [request]),
      )
      return refusal ?? { code: undefined, by: 'guest' }
    },
  }
}

export const RUNTIME_ATTACKS: readonly Attack[] = [attackBy(EXEC), attackBy(OTHER_CONTAINER)]
