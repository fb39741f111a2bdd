/** The parts of machines on a real host. Each module of the launcher is loaded when it is first needed: an idle hostd stays small. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import type { MachineParts } from './machine-parts.ts'

const diskImage = () => import('@cloister/launcher/machine/disk-image')

export function hostMachineParts({ hostd }: Pick<Directories, 'hostd'>): MachineParts {
  const findFirmware = async (secureBoot: boolean) =>
    (await import('@cloister/launcher/machine/firmware')).findFirmware({ secureBoot })
  return {
    inspectDisk: async (path) => (await diskImage()).inspectDisk(path),
    importDisk: async (source, target, options) =>
      (await diskImage()).importDisk(source, target, options),
    resizeDisk: async (path, sizeBytes) => (await diskImage()).resizeDisk(path, sizeBytes),
    listSnapshots: async (path) => (await diskImage()).listSnapshots(path),
    createSnapshot: async (path, name) => (await diskImage()).createSnapshot(path, name),
    restoreSnapshot: async (path, name) => (await diskImage()).restoreSnapshot(path, name),
    deleteSnapshot: async (path, name) => (await diskImage()).deleteSnapshot(path, name),
    firmwareCode: async (hasSecureBoot) => (await findFirmware(hasSecureBoot)).code,
    async writeVariables(choice, path) {
      const { writeVariables } = await import('@cloister/launcher/machine/secure-boot')
      await writeVariables(await findFirmware(choice !== 'none'), choice, path)
    },
    async manufactureVtpm(files, vmId, signal) {
      const { openEkAuthority } = await import('@cloister/launcher/machine/ek-authority')
      const { manufactureVtpm } = await import('@cloister/launcher/machine/vtpm')
      const authority = await openEkAuthority(join(hostd, 'ek-authority'))
      await manufactureVtpm({ ...files, vmId, authority }, signal)
    },
    async encodeSeed(seed) {
      const { encodeSeed } = await import('@cloister/launcher/machine/seed')
      return encodeSeed(seed)
    },
    async findBootLog(vm, signal) {
      const { findBootLog } = await import('@cloister/launcher/machine/boot-log')
      // As large as the guest's RAM, and holds what that holds: on hostd's own disk, and gone at once.
      const folder = await mkdtemp(join(hostd, 'boot-log-'))
      try {
        const file = join(folder, 'ram')
        await vm.dumpMemory(file, signal)
        return await findBootLog(file, signal)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}
