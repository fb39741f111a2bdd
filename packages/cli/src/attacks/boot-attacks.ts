/** Attacks on the start of a guest, each with a real boot. */
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
  parseInitdata,
  parseWorkload,
} from '@cloister/protocol/initdata'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { bootAlone, bootWorkload, withChangedImage } from './attack-boots.ts'
import type { Attack, Battlefield } from './attack.ts'

/** The host's copy of the guest image with another command line: the digest of what runs is then no Reference Value. */
const commandLineChanged: Attack = {
  name: 'command-line-changed',
  story: 'boot the guest with a command line that asks for a shell',
  expected: ['release.measurement-unknown'],
  async attempt(field) {
    const workload = await registerTwin(field)
    // Our initrd ignores `init=`, so this guest goes on to the broker, and it is the broker who must notice.
    return await withChangedImage(
      field,
      { commandLine: 'init=/bin/sh' },
      async (guestImage) => await bootWorkload(field, { ...workload, guestImage }),
    )
  },
}

/** Registers the workload under another name: its own is running. */
async function registerTwin(field: Battlefield): Promise<{ name: string; initdata: Uint8Array }> {
  const name = `${field.workload}-tampered`
  const workload = { ...parseWorkload(parseInitdata(field.initdata)), name } as WorkloadInput
  const revisions = (await field.broker.workloads()).filter((entry) => entry.name === name)
  const revision = Math.max(0, ...revisions.map((entry) => entry.revision)) + 1
  const initdata = encodeInitdata(
    initdataOf({ ...workload, revision, network: { targets: ['broker', 'registry'] } }),
  )
  await field.broker.putWorkload(name, initdata)
  return { name, initdata }
}

/** A launch whose HOST_DATA is the registered one, with another initdata on the disk. */
const initdataSwapped: Attack = {
  name: 'initdata-swapped',
  story: 'launch with the registered digest, but put another initdata on the disk',
  expected: ['initdata.mismatch'],
  async attempt(field) {
    const workload = parseWorkload(parseInitdata(field.initdata)) as WorkloadInput
    const swapped = encodeInitdata(
      initdataOf({ ...workload, hostPolicy: { exec: true, readStdout: true } }),
    )
    return await bootAlone(field, {
      hostData: initdataDigest(field.initdata),
      initdataDisk: encodeInitdataDisk(swapped),
    })
  },
}

const initdataMissing: Attack = {
  name: 'initdata-missing',
  story: 'launch without any initdata and with zero HOST_DATA',
  expected: ['agent.disk-missing'],
  attempt: async (field) => await bootAlone(field, { hostData: new Uint8Array(32) }),
}

export const BOOT_ATTACKS: readonly Attack[] = [
  commandLineChanged,
  initdataSwapped,
  initdataMissing,
]
