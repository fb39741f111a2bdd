/** Options of commands that predict the machine of a VM under TDX. */
import type { OptionSpec } from '../command.ts'

export const MACHINE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  'processor-id': {
    type: 'string',
    value: 'HEX',
    help: "of a VM under TDX, to predict RTMR0: ID in `dmidecode -t processor` of a TD on the host's processors",
  },
  'machine-files': {
    type: 'string',
    value: 'DIR',
    help: 'of a VM under TDX, to predict RTMR0: what a guest of such a machine shows, as for `measure`; default: what the QEMU here shows',
  },
}
