/** The backend on a real host. The launcher is loaded when the first VM needs it: an idle hostd stays small. */
import { join } from 'node:path'
import type { VmHost } from '@cloister/launcher/vm-host'
import type { Directories } from '@cloister/protocol/directories'
import type { GuestImage } from '@cloister/image/images'
import type { Backend } from './backend.ts'
import { STAGE_DEADLINES } from './boot-watch.ts'

export function hostBackend(directories: Directories): Backend {
  const { images } = directories
  let host: Promise<VmHost> | undefined
  /** What this host offers, found out once; a failure is found out again. */
  const openHost = (image: GuestImage): Promise<VmHost> => {
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
    async discardVm(state) {
      const { killProcess } = await import('@cloister/launcher/process-identity')
      const { removeDirectories } = await import('@cloister/launcher/vm-files')
      await killProcess(state.process)
      await removeDirectories(state)
    },
    async clearLeftovers(folders, keep) {
      const { clearLeftovers } = await import('@cloister/launcher/leftovers')
      return clearLeftovers(folders, keep)
    },
    async loadGuestImage(name) {
      const { loadGuestImage } = await import('@cloister/image/images')
      return loadGuestImage(join(images, name))
    },
    async checkPorts(ports) {
      const { checkPorts } = await import('@cloister/launcher/host-ports')
      await checkPorts(ports)
    },
  }
}

/** The image's probe guest tells whether KVM is to be trusted. */
async function findHost(directories: Directories, image: GuestImage): Promise<VmHost> {
  const { openVmHost } = await import('@cloister/launcher/open-vm-host')
  const { kernel, initrd } = image.paths
  const { probe: commandLine } = image.manifest.commandLines
  return openVmHost(directories, { boot: { kernel, initrd }, commandLine })
}
