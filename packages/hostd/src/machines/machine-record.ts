/**
 * What hostd keeps of a machine on disk, `record.json`. Beside it lie the machine's files: `disk.qcow2`, `variables.fd`, `tpm/`, `seed.img`,
 * `initdata.toml` or the files of a direct boot, and what it keeps of its life: `console/`, `events/`, `integrity/`.
 */
import { join } from 'node:path'
import { z } from 'zod'
import type { VmState } from '@cloister/launcher/vm-spec'
import { TargetsSchema, VmViewSchema, type VmView } from '@cloister/protocol/hostd-vm-api'

export const MachineRecordSchema = z.strictObject({
  version: z.literal(1),
  view: VmViewSchema,
  /** Where streams lead that an agent in the guest opens. */
  targets: TargetsSchema,
  /** Present when a QEMU was started and its end is not known. The launcher's, opaque here. */
  vm: z.custom<VmState>((value) => typeof value === 'object' && value !== null).optional(),
  /** In state `stopping`: until when the guest has time. */
  stopUntil: z.iso.datetime().optional(),
  /** Restarts in a row that the guest asked for, each after a short run, and when the next one comes. */
  restart: z.strictObject({ inARow: z.int(), at: z.iso.datetime().optional() }).optional(),
})

export interface MachineRecord extends Omit<z.infer<typeof MachineRecordSchema>, 'view'> {
  view: VmView
}

/** Absolute paths of a machine's files. */
export function machineFiles(folder: string) {
  return {
    disk: join(folder, 'disk.qcow2'),
    variables: join(folder, 'variables.fd'),
    vtpm: { stateDirectory: join(folder, 'tpm'), key: join(folder, 'tpm.key') },
    seed: join(folder, 'seed.img'),
    initdata: join(folder, 'initdata.toml'),
    direct: {
      firmware: join(folder, 'firmware.fd'),
      kernel: join(folder, 'vmlinuz'),
      initrd: join(folder, 'initrd'),
      commandLine: join(folder, 'command-line'),
    },
    console: join(folder, 'console'),
    events: join(folder, 'events'),
    integrity: join(folder, 'integrity'),
    baseline: join(folder, 'integrity', 'baseline.json'),
  } as const
}
