/**
 * The simulated secure processor: takes the place of the AMD-SP for guests of this host that have none. It protects nothing; it
 * proves what SNP would prove, in SNP's own formats, under a root of its own.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SOCKETS } from '../vm-files.ts'
import type { SecureProcessor } from '../vm-host.ts'
import { DEFAULT_VCPU_TYPE, type VmSpec, type VmState } from '../vm-spec.ts'
import { openKeyStore, type SimulatedIdentity } from './key-store.ts'
import { loadLaunchContext, saveLaunchContext, type LaunchContext } from './launch-context.ts'
import { measureLaunch } from './measure-launch.ts'
import { PLATFORM } from './platform.ts'
import { signReport } from './sign-report.ts'
import { TeePortServer } from './tee-port-server.ts'

export class SimulatedProcessor implements SecureProcessor {
  readonly identity: SimulatedIdentity

  private constructor(identity: SimulatedIdentity) {
    this.identity = identity
  }

  /** @param directory - of its keys, made when absent @throws CloisterError `simulator.keys-unreadable` */
  static async open(directory: string): Promise<SimulatedProcessor> {
    return new SimulatedProcessor(await openKeyStore(directory))
  }

  /**
   * Launches a guest whose QEMU stands still: measures what that QEMU holds, fixes HOST_DATA and serves its port from then on.
   * @throws CloisterError `simulator.launch-unmeasurable`, `tee.firmware-unfit`, `host.disk-full`
   */
  async launch(state: VmState, spec: VmSpec): Promise<AsyncDisposable> {
    const measurement = await measureLaunch(state.process.pid, spec)
    const context: LaunchContext = {
      version: 1,
      policy: PLATFORM.guestPolicy.toString(16),
      hostData: Buffer.from(spec.hostData).toString('hex'),
      measurement: Buffer.from(measurement).toString('hex'),
      reportId: randomBytes(32).toString('hex'),
      vcpuType: spec.vcpuType ?? DEFAULT_VCPU_TYPE,
    }
    await saveLaunchContext(state.stateDirectory, context)
    return this.#serve(state, context)
  }

  /** Serves a guest again that was launched before a restart. @throws CloisterError `simulator.context-unreadable` */
  async resume(state: VmState): Promise<AsyncDisposable> {
    return this.#serve(state, await loadLaunchContext(state.stateDirectory))
  }

  #serve(state: VmState, context: LaunchContext): AsyncDisposable {
    const socket = join(state.runtimeDirectory, SOCKETS.tee)
    return new TeePortServer(socket, ({ reportData, vmpl }) =>
      signReport(this.identity, context, { reportData, vmpl }),
    )
  }
}
