/** hostd's REST calls for machines. */
import {
  BaselineSchema,
  DefineVmRequestSchema,
  IntegrityEventSchema,
  ResizeVmRequestSchema,
  RestartVmRequestSchema,
  SevLaunchRequestSchema,
  SevSecretSchema,
  SnapshotRequestSchema,
  StartVmRequestSchema,
  StopVmRequestSchema,
  VM_LIMITS,
} from '@cloister/protocol/hostd-vm-api'
import { CloisterError } from '@cloister/protocol/error'
import { EvidenceRequestSchema } from '@cloister/protocol/hostd-api'
import { readJson, sendJson, sendLines } from '../http-exchange.ts'
import type { Handler } from '../route.ts'

/** `NAME` and `ITEM` stand for one segment of the path each. */
export const MACHINE_ROUTES: Readonly<Record<string, Handler>> = {
  'GET /v1/vms': ({ response, machines }) =>
    sendJson(response, 200, { vms: machines.list().map(({ view }) => view) }),
  'POST /v1/vms': async ({ request, response, machines, signal }) => {
    const machine = await machines.define(await readJson(request, DefineVmRequestSchema), signal)
    sendJson(response, 201, machine.view)
  },
  'GET /v1/vms/NAME': ({ response, machines, name }) =>
    sendJson(response, 200, machines.get(name).view),
  'DELETE /v1/vms/NAME': async ({ response, machines, name }) => {
    await machines.remove(name)
    sendJson(response, 200, {})
  },
  'POST /v1/vms/NAME/start': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    await machine.start(await readJson(request, StartVmRequestSchema))
    sendJson(response, 200, machine.view)
  },
  'POST /v1/vms/NAME/sev-launch': async ({ request, response, machines, name, signal }) => {
    const machine = machines.get(name)
    const asked = await readJson(request, SevLaunchRequestSchema)
    sendJson(response, 200, await machine.startWithOwner(asked, signal))
  },
  'POST /v1/vms/NAME/sev-launch/secret': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    await machine.ownerLaunch().answer(await readJson(request, SevSecretSchema))
    sendJson(response, 200, machine.view)
  },
  'DELETE /v1/vms/NAME/sev-launch': async ({ response, machines, name }) => {
    await machines.get(name).ownerLaunch().refuse()
    sendJson(response, 200, {})
  },
  'POST /v1/vms/NAME/stop': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    await machine.stop(await readJson(request, StopVmRequestSchema))
    sendJson(response, 200, machine.view)
  },
  'POST /v1/vms/NAME/restart': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    await machine.restart(await readJson(request, RestartVmRequestSchema))
    sendJson(response, 200, machine.view)
  },
  'POST /v1/vms/NAME/resize': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    await machine.resize(await readJson(request, ResizeVmRequestSchema))
    sendJson(response, 200, machine.view)
  },
  'GET /v1/vms/NAME/snapshots': async ({ response, machines, name }) =>
    sendJson(response, 200, { snapshots: await machines.get(name).snapshots() }),
  'POST /v1/vms/NAME/snapshots': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    const { name: snapshot } = await readJson(request, SnapshotRequestSchema)
    await machine.changeSnapshot('create', snapshot)
    sendJson(response, 201, { snapshots: await machine.snapshots() })
  },
  'POST /v1/vms/NAME/snapshots/ITEM/restore': async ({ response, machines, name, item }) => {
    const machine = machines.get(name)
    await machine.changeSnapshot('restore', item)
    sendJson(response, 200, machine.view)
  },
  'DELETE /v1/vms/NAME/snapshots/ITEM': async ({ response, machines, name, item }) => {
    await machines.get(name).changeSnapshot('delete', item)
    sendJson(response, 200, {})
  },
  'GET /v1/vms/NAME/console-log': async ({ response, machines, name, query, signal }) => {
    const follow = query.get('follow') === 'true'
    await sendLines(response, await machines.get(name).consoleLog({ follow }, signal))
  },
  'GET /v1/vms/NAME/events': async ({ response, machines, name, signal }) =>
    sendLines(response, await machines.get(name).events(signal)),
  'POST /v1/vms/NAME/events': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    const event = await readJson(request, IntegrityEventSchema)
    checkSize(event, VM_LIMITS.eventBytes)
    machine.noteIntegrity(event)
    sendJson(response, 201, {})
  },
  'POST /v1/vms/NAME/evidence': async ({ request, response, machines, name, signal }) => {
    const { nonce } = await readJson(request, EvidenceRequestSchema)
    const guest = machines.get(name).guest()
    await guest.renewIfMute(signal)
    sendJson(response, 200, await asMachine(guest.evidence(Buffer.from(nonce, 'hex'), signal)))
  },
  'GET /v1/vms/NAME/status': async ({ response, machines, name, signal }) => {
    const guest = machines.get(name).guest()
    await guest.renewIfMute(signal)
    sendJson(response, 200, await asMachine(guest.status(signal)))
  },
  'GET /v1/vms/NAME/boot-log': async ({ response, machines, name, signal }) =>
    sendJson(response, 200, await machines.get(name).bootLog(signal)),
  'GET /v1/vms/NAME/baseline': async ({ response, machines, name }) =>
    sendJson(response, 200, await machines.get(name).baseline()),
  'PUT /v1/vms/NAME/baseline': async ({ request, response, machines, name }) => {
    const machine = machines.get(name)
    const baseline = await readJson(request, BaselineSchema)
    checkSize(baseline, VM_LIMITS.baselineBytes)
    await machine.storeBaseline(baseline)
    sendJson(response, 200, baseline)
  },
  'POST /v1/vms/NAME/memory-dump': async ({ response, machines, name, signal }) =>
    sendJson(response, 200, await machines.dumpMemory(name, signal)),
}

function checkSize(value: object, most: number): void {
  if (JSON.stringify(value).length > most)
    throw new CloisterError('request.malformed', { why: `the body exceeds ${most} bytes` })
}

/** A guest link names what it serves a workload. */
async function asMachine<Value>(answer: Promise<Value>): Promise<Value> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'workload.not-running')
      throw new CloisterError('vm.not-running', error.details)
    throw error
  }
}
