/** The backend on a real host. The launcher is loaded when the first VM needs it: an idle hostd stays small. */
import { join } from 'node:path'
import type { VmHost } from '@cloister/launcher/vm-host'
import type { Directories } from '@cloister/protocol/directories'
import type { GuestImage } from '@cloister/image/images'
import type { Backend } from './backend.ts'
import { STAGE_DEADLINES } from './boot-watch.ts'
import { hostMachineParts } from './machines/host-machine-parts.ts'

/** Its probe guest tries KVM out for machines that boot their own disk. */
const PROBE_IMAGE = 'base'

export function hostBackend(directories: Directories): Backend {
  const { images } = directories
  let host: Promise<VmHost> | undefined
  const loadImage = async (name: string) => {
    const { loadGuestImage } = await import('@cloister/image/images')
    return loadGuestImage(join(images, name))
  }
  /** What this host offers, found out once; a failure is found out again. */
  const openHost = async (given: GuestImage | undefined): Promise<VmHost> => {
    const image = given ?? (await loadImage(PROBE_IMAGE).catch(() => undefined))
    // Without a probe guest KVM may go unused: the next start looks again.
    if (image === undefined) return host ?? findHost(directories, undefined)
    host ??= findHost(directories, image).catch((error: unknown) => {
      host = undefined
      throw error
    })
    return host
  }
  return {
    deadlines: STAGE_DEADLINES,
    async startVm(spec, image) {
      const { startVm } = await import('@cloister/launcher/start-vm')
      return startVm(spec, await openHost(image))
    },
    async adoptVm(state) {
      const { adoptVm } = await import('@cloister/launcher/adopt-vm')
      const { openVmHost } = await import('@cloister/launcher/open-vm-host')
      return adoptVm(state, await openVmHost(directories))
    },
    async howVmEnded(state) {
      const { readEnd } = await import('@cloister/launcher/control-log')
      return readEnd(state)
    },
    async discardVm(state) {
      const { discardVm } = await import('@cloister/launcher/discard-vm')
      await discardVm(state)
    },
    async clearLeftovers(folders, keep) {
      const { clearLeftovers } = await import('@cloister/launcher/leftovers')
      return clearLeftovers(folders, keep)
    },
    loadGuestImage: loadImage,
    async checkPorts(ports) {
      const { checkPorts } = await import('@cloister/launcher/host-ports')
      await checkPorts(ports)
    },
    async hostBootId() {
      const { hostBootId } = await import('@cloister/launcher/process-identity')
      return hostBootId()
    },
    machines: hostMachineParts(directories),
  }
}

/** The image's probe guest tells whether KVM is to be trusted; without an image KVM is used only if it was tried before. */
async function findHost(directories: Directories, image: GuestImage | undefined): Promise<VmHost> {
  const { openVmHost } = await import('@cloister/launcher/open-vm-host')
  if (image === undefined) return openVmHost(directories)
  const { kernel, initrd } = image.paths
  const { probe: commandLine } = image.manifest.commandLines
  return openVmHost(directories, { boot: { kernel, initrd }, commandLine })
}
