/** Finds a VM again that outlived the hostd that started it. */
import { join } from 'node:path'
import { hostBootId, isAlive } from './process-identity.ts'
import { QmpClient } from './qmp.ts'
import { RunningVm } from './running-vm.ts'
import { removeTraces } from './remove-traces.ts'
import { SOCKETS } from './vm-files.ts'
import type { VmHost } from './vm-host.ts'
import type { Vm, VmState } from './vm-spec.ts'

/**
 * Takes over a VM from its state.
 * @returns the VM; absent when its QEMU is gone, and then its files are, too
 * @throws CloisterError `qemu.unresponsive`, `qemu.protocol` when QEMU lives and does not answer, `simulator.*`; the VM is untouched then
 */
export async function adoptVm(state: VmState, host: VmHost): Promise<Vm | undefined> {
  if (state.bootId !== (await hostBootId()) || !(await isAlive(state.process))) {
    await removeTraces(state)
    return undefined
  }
  const qmp = await connectIfAlive(state)
  if (qmp === undefined) {
    await removeTraces(state)
    return undefined
  }
  try {
    const hasProcessor = state.tee === 'simulated' && state.mode !== 'probe'
    const tee = hasProcessor ? await (await host.openSimulator()).resume(state) : undefined
    const vm = new RunningVm({ state, qmp, ...(tee && { tee }) })
    // The hostd before us may have died between the launch and the start of the guest.
    await qmp.execute('cont')
    return vm
  } catch (error) {
    qmp.close()
    throw error
  }
}

/** QEMU may end while we connect; then it is gone, not unresponsive. */
async function connectIfAlive(state: VmState): Promise<QmpClient | undefined> {
  try {
    return await QmpClient.connect(join(state.runtimeDirectory, SOCKETS.qmp))
  } catch (error) {
    if (await isAlive(state.process)) throw error
    return undefined
  }
}
